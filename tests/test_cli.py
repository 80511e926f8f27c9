"""A user's mistake is one line and exit code 2, and nothing on disk is lost."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import __main__ as command_line
from pipeline.resolve import write_plan

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def plan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plan/ of scale smoke, resolved once for all tests."""
    root = tmp_path_factory.mktemp("planned")
    for name in ("params.yaml", "objectives.yaml"):
        shutil.copy(PROJECT / name, root / name)
    edit(root / "params.yaml", "scale: laptop", "scale: smoke")
    write_plan(root)
    return root / "plan"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder at scale smoke, to run verbs in."""
    for name in ("params.yaml", "objectives.yaml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    edit(tmp_path / "params.yaml", "scale: laptop", "scale: smoke")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} no longer holds {old!r}"
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def planned(project: Path, plan_folder: Path) -> Path:
    """The project folder after its plan stage."""
    shutil.copytree(plan_folder, project / "plan")
    return project


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """(exit code, standard error) of `python -m pipeline ARGUMENTS`, in this process."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["pipeline", *arguments])
        with pytest.raises(SystemExit) as stop:
            command_line.main()
        code = stop.value.code
        assert code is None or isinstance(code, int)
        return code or 0, capsys.readouterr().err

    return call


def check(result: tuple[int, str], *words: str) -> None:
    code, message = result
    assert code == 2
    assert message.count("\n") == 1, message
    assert message.startswith("error: ")
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("critic_steps: 1 ", "critic_step: 1 ", ["recipe.critic_step", "did you mean 'critic_steps'"]),
        ("scale: smoke", "scael: smoke", ["scael", "did you mean 'scale'"]),
        ("- minimax", "- minmax", ["study.variants", "'minmax'", "did you mean 'minimax'"]),
        ("[ring, digits]", "[ring, digit]", ["study.benchmarks", "did you mean 'digits'"]),
        (
            "objective: minimax",
            "objective: minnimax",
            ["variants.minimax.objective", "did you mean 'minimax'"],
        ),
        ("scale: smoke", "scale: latop", ["scale", "did you mean 'laptop'"]),
        ("seeds: 2", "seeds: 0", ["scales.smoke.seeds", "greater than or equal to 1", "0"]),
        ("seeds: 2", "seeds: three", ["scales.smoke.seeds", "integer", "three"]),
        ("batch: 64", "batch: 100", ["recipe.batch", "multiple of 32"]),
        ("batch: 64", "batch: [1]", ["recipe.batch", "integer"]),
        ("kind: gradient_penalty, weight: 1.0", "kind: none", ["wgan_gp", "Lipschitz", "gradient_penalty"]),
        ("kind: weight_clipping, bound: 0.1", "kind: r1, weight: 1.0", ["wgan_clip", "Lipschitz", "'r1'"]),
        ("scale: smoke", "scale: [smoke", ["params.yaml:", "not valid YAML"]),
        ("scale: smoke", "scale: smoke\nscale: smoke", ["params.yaml:", "'scale' stands twice"]),
    ],
)
def test_mistakes_in_params(
    planned: Path, run: Callable[..., tuple[int, str]], old: str, new: str, words: list[str]
) -> None:
    before = {path: path.read_bytes() for path in (planned / "plan").rglob("*.json")}
    assert before
    edit(planned / "params.yaml", old, new)
    check(run("plan"), "params.yaml", *words)
    assert {path: path.read_bytes() for path in (planned / "plan").rglob("*.json")} == before


def test_a_formula_outside_the_whitelist_is_refused_and_not_executed(
    project: Path, run: Callable[..., tuple[int, str]]
) -> None:
    with (project / "objectives.yaml").open("a") as file:
        file.write(
            "\nevil:\n  construction: likelihood_ratio\n  title: Evil\n  citation: none\n"
            "  omega: \"__import__('os').system('touch executed')\"\n  rho: exp(-t)\n"
        )
    check(run("plan"), "evil", "omega")
    assert not (project / "executed").exists()


def test_an_objective_that_fails_its_checks_says_which_and_where(
    project: Path, run: Callable[..., tuple[int, str]]
) -> None:
    with (project / "objectives.yaml").open("a") as file:
        file.write(
            "\nwrong:\n  construction: likelihood_ratio\n  title: Wrong\n  citation: none\n"
            "  omega: log(r)\n  rho: -1/(1 + exp(t))\n"
        )
    check(run("plan"), "wrong", "rho", "r = ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("objective", "minimaks"), ["unknown objective 'minimaks'", "did you mean 'minimax'"]),
        (("train", "rnig", "minimax"), ["unknown benchmark 'rnig'", "did you mean 'ring'"]),
        (("train", "ring", "wgan_pg"), ["unknown variant on ring 'wgan_pg'", "did you mean 'wgan_gp'"]),
        (("evaluate", "ring", "wgan_pg"), ["unknown variant on ring 'wgan_pg'"]),
        (("fetch", "digit"), ["'digit'", "did you mean 'digits'"]),
        (("plann",), ["No such command 'plann'", "'plan'"]),
        (("train", "ring"), ["variant"]),
        (("ui", "--port", "99999"), ["65535"]),
        (("scale", "latop"), ["unknown scale 'latop'", "did you mean 'laptop'"]),
    ],
)
def test_unknown_names(
    planned: Path, run: Callable[..., tuple[int, str]], arguments: tuple[str, ...], words: list[str]
) -> None:
    check(run(*arguments), *words)


def test_missing_inputs(project: Path, run: Callable[..., tuple[int, str]]) -> None:
    check(run("train", "ring", "minimax"), "plan")
    (project / "params.yaml").unlink()
    check(run("plan"), "params.yaml", "no such file")


def test_corrupt_data_and_checkpoint(planned: Path, run: Callable[..., tuple[int, str]]) -> None:
    project = planned
    check(run("train", "digits", "minimax"), "data/digits", "fetch@digits")
    assert run("fetch", "digits") == (0, "")
    data = project / "data" / "digits" / "digits.safetensors"
    whole = data.read_bytes()
    data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check(run("train", "digits", "minimax"), "digits.safetensors", "corrupt", "fetch@digits")
    data.write_bytes(whole)
    checkpoint = project / ".work" / "checkpoints" / "digits-minimax.checkpoint"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"half a checkpoi")
    check(run("train", "digits", "minimax"), "corrupt checkpoint", "delete it")
    assert checkpoint.exists()


def test_a_port_in_use(project: Path, run: Callable[..., tuple[int, str]]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check(run("ui", "--port", str(port)), str(port), "in use")


def test_scale_edits_one_line(project: Path, run: Callable[..., tuple[int, str]]) -> None:
    before = (project / "params.yaml").read_text()
    assert run("scale", "paper") == (0, "")
    after = (project / "params.yaml").read_text()
    assert after == before.replace("scale: smoke", "scale: paper", 1)


def test_a_new_title_changes_no_run(planned: Path, run: Callable[..., tuple[int, str]]) -> None:
    """Titles are for the paper; a run whose plan file changed would train again."""
    project = planned
    before = {path: path.read_bytes() for path in (project / "plan").glob("*/*.json")}
    edit(project / "params.yaml", 'title: "Minimax"', 'title: "The first one"')
    edit(project / "params.yaml", 'title: "Ring of 8"', 'title: "A ring"')
    assert run("plan") == (0, "")
    assert before == {path: path.read_bytes() for path in (project / "plan").glob("*/*.json")}
    assert "The first one" in (project / "plan" / "study.json").read_text()
