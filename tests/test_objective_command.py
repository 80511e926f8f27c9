"""`python -m pipeline objective`: what it shows, draws and adds, and every refusal in one line."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline import __main__ as command_line
from pipeline.errors import UserError
from pipeline.objectives import adding, load_objective, load_objectives, objective_from_spec
from pipeline.objectives.adding import add_entry, entry_text
from pipeline.objectives.catalogue import read_entries
from pipeline.objectives.curves import draw_curves
from pipeline.objectives.printing import to_unicode
from pipeline.objectives.report import derivation

PROJECT = Path(__file__).parent.parent
CATALOGUE = load_objectives(PROJECT / "objectives.yaml")
OWN = ("--omega", "log(r)", "--rho", "exp(-t/2)/2", "--citation", "Own work: 2026")
Answer = tuple[int, str, str]
Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, standard output, standard error) in a folder of its own, in this process."""
    shutil.copy(PROJECT / "objectives.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr("sys.argv", ["pipeline", "objective", *arguments])
        with pytest.raises(SystemExit) as stop:
            command_line.main()
        code = stop.value.code
        assert code is None or isinstance(code, int)
        shown = capsys.readouterr()
        return code or 0, shown.out, shown.err

    return call


def refused(answer: Answer, *words: str) -> None:
    code, out, message = answer
    assert (code, out) == (2, "")
    assert message.startswith("error: ")
    assert message.count("\n") == 1, message
    for word in words:
        assert word in message, message


# --- what it shows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_shown_whole(run: Run, name: str) -> None:
    """The formulas as mathematics, the analysis, and each check: with its number and its place."""
    code, out, err = run(name)
    assert (code, err) == (0, "")
    facts, formulas = derivation(CATALOGUE[name]), CATALOGUE[name].formulas
    flat = " ".join(out.split())
    assert flat.startswith(f"{facts['title']} ({name}) {facts['construction'].replace('_', ' ')}")
    assert facts["citation"] in flat
    for loss in formulas.stable_losses.values():
        assert to_unicode(loss) in flat
    assert out.count(" holds ") + out.count(" no ") >= len(facts["checks"])
    for check in facts["checks"]:
        assert f"{check['value']:.3g}" in flat
        assert check["at"] in flat
    if facts["analysis"]["frozen"] is None:
        assert formulas.why_no_omega in flat
        assert "B(r)" not in flat
    else:
        assert f"d(r) = {to_unicode(formulas.divergence)} " in flat
        assert "s(r) = r B″(r) =" in flat
        limits = facts["analysis"]["limits"]
        vanishing = [end["vanishes"] for end in limits.values()]
        assert flat.count("the gradient vanishes where p is") == sum(vanishing)
        assert ("p is small against q" in flat) == limits["infinity"]["vanishes"]


def test_the_names_are_greek_and_the_divergence_is_named(run: Run) -> None:
    _, out, _ = run("non_saturating")
    for line in (
        "ω⁻¹(t) = exp(t)",
        "φ(t) = -log(1 + exp(t))",
        "Ω = (-∞, ∞)",
        "∫ p B(r) = 2 KL((p + q)/2 ‖ p)",
        "r → ∞: s → 1",
        "goes to 2 as r → 0",
    ):
        assert line in " ".join(out.split())


def test_a_terminal_without_greek_gets_the_language_of_the_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.objectives import terminal

    monkeypatch.setattr(terminal.Script, "of_terminal", lambda: terminal.Script(unicode=False))
    _, out, _ = run("least_squares")
    assert out.isascii()
    derived = derivation(CATALOGUE["least_squares"])["derived"]
    flat = " ".join(out.split())
    for key, name in (
        ("omega", "omega(r)"),
        ("omega_inverse", "omega^-1(t)"),
        ("phi", "phi(t)"),
        ("d", "d(r)"),
    ):
        assert f"{name} = {derived[key]}" in flat
    assert "r -> oo: s -> 0" in flat


def test_an_encoding_without_greek_is_noticed() -> None:
    """The real process, with an ASCII standard output."""
    answer = subprocess.run(
        [sys.executable, "-m", "pipeline", "objective", "minimax"],
        cwd=PROJECT, capture_output=True, check=True, env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )  # fmt: skip
    assert b"omega^-1(t) = exp(t)" in answer.stdout


def test_quadrature_is_said(run: Run) -> None:
    _, out, _ = run("--omega", "log(r)", "--rho", "exp(-t**2/2)")
    assert "By quadrature: φ, ψ, α, β, d, B. SymPy found no integral in closed form" in " ".join(out.split())
    assert "∫(" in out
    _, out, _ = run("minimax")
    assert "quadrature" not in out


def test_json(run: Run) -> None:
    code, out, err = run("least_squares", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == derivation(CATALOGUE["least_squares"])


# --- formulas from the command line --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "construction", "divergence"),
    [
        (("--omega", "log(r)", "--rho", "1/(1 + exp(t))"), "likelihood_ratio", "2 JSD(p, q)"),
        (("--omega", "-1/r", "--rho", "1", "--domain", "[-oo, 0]"), "likelihood_ratio", "KL(p || q)"),
        (("--omega", "-1/r", "--rho", "1", "--domain", "-oo 0"), "likelihood_ratio", "KL(p || q)"),
        (
            ("--omega", "r**a", "--rho", "1", "--domain", "(0,oo)", "--activation", "softplus(v)",
             "--parameter", "a=1"),
            "likelihood_ratio", "1/2 chi2(q || p)",
        ),
        (("--f", "-log(u)", "--activation", "-exp(-v)"), "f_divergence", "KL(q || p)"),
        (("--phi", "-softplus(-t)", "--psi", "-softplus(t)", "--beta", "-t"), "direct", "KL(q || p)"),
        (
            ("--phi", "-relu(1 - t)", "--psi", "-relu(1 + t)", "--beta", "-t", "--alpha", "t",
             "--omega", "sign(1 - r)"),
            "direct", "2 TV(p, q)",
        ),
    ],
)  # fmt: skip
def test_formulas(run: Run, arguments: tuple[str, ...], construction: str, divergence: str) -> None:
    code, out, err = run(*arguments, "--json", "--title", "Mine")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["construction"], facts["title"]) == (construction, "Mine")
    assert facts["analysis"]["divergence"]["text"] == divergence


def test_a_parameter_of_an_entry_is_overridden(run: Run) -> None:
    _, out, _ = run("alpha", "--parameter", "alpha=3/10", "--json")
    facts = json.loads(out)
    assert facts["given"]["parameters"] == {"alpha": "3/10"}
    assert facts["analysis"]["divergence"]["text"] == "A[3/10](p || q)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["which one?", "NAME, or --omega and --rho, or --f, or --phi and --psi, or --all"]),
        (("minimaks",), ["unknown objective 'minimaks'", "did you mean 'minimax'"]),
        (("minimax", "--f", "u*log(u)"), ["NAME and --f exclude each other", "--parameter"]),
        (("--f", "u*log(u)", "--rho", "1"), ["--rho cannot stand beside --f", "or --phi and --psi"]),
        (("--f", "u*log(u)", "--phi", "t"), ["--phi cannot stand beside --f"]),
        (("--phi", "t", "--psi", "-t", "--rho", "1"), ["--rho cannot stand beside --phi"]),
        (("--omega", "r"), ["--omega needs --rho"]),
        (("--rho", "1"), ["--rho needs --omega"]),
        (("--phi", "t"), ["--phi needs --psi"]),
        (("--beta", "t", "--domain", "[0, 1]"), ["--beta, --domain alone makes none"]),
        (("--omega", "r", "--rho", "1", "--domain", "0"), ["--domain '0': two bounds", "[-oo, oo]"]),
        (("--omega", "r", "--rho", "1", "--domain", "[0,,1]"), ["--domain", "two bounds"]),
        (("--omega", "r", "--rho", "1", "--domain", "[1, 0]"), ["lower bound 1 is not below"]),
        (("--omega", "sin(r)", "--rho", "1"), ["command line: custom.omega: column 1", "'sin'", "allowed"]),
        (("--omega", "log(r)", "--rho", "-1/(1 + exp(t))"), ["rho(omega(r)) omega'(r) > 0", "r = "]),
        (("--f", "log(u)"), ["custom.f", "f must be convex"]),
        (("--omega", "a*r", "--rho", "1", "--parameter", "a"), ["--parameter 'a'", "a=2"]),
        (("--omega", "a*r", "--rho", "1", "--parameter", "a=1", "--parameter", "a=2"), ["a: given twice"]),
        (("--omega", "r", "--rho", "1", "--parameter", "r=1"), ["'r' cannot be a parameter's name"]),
        (("least_squares", "--parameter", "d=1"), ["unknown parameter 'd'; known: a, b, c"]),
        (("minimax", "--parameter", "a=1"), ["parameter 'a': the objective has no parameters"]),
        (("--all", "minimax"), ["--all", "only --json"]),
        (("--all", "--f", "u*log(u)"), ["--all", "only --json"]),
        (("--all", "--plot", "all.png"), ["--all", "only --json"]),
        (("minimax", "--plot", "curves.gif"), ["curves.gif", ".svg, .png, .pdf"]),
        (("minimax", "--plot", "none/curves.svg"), ["there is no folder none"]),
        (("minimax", "--unknown"), ["--unknown"]),
        ((*OWN, "--add", "minimax"), ["--add minimax", "has an objective of this name"]),
        ((*OWN, "--add", "Mini Max"), ["'Mini Max'", "no name for an objective"]),
        ((*OWN, "--add", "1st"), ["'1st'", "no name for an objective"]),
        ((*OWN[:4], "--add", "mine"), ["--add needs --citation"]),
        (("--f", "log(u)", "--citation", "c", "--add", "mine"), ["mine.f", "f must be convex"]),
        (
            ("--omega", "log(r)", "--rho", "1/(1 + exp(t))", "--beta", "exp(-t)", "--citation", "c",
             "--add", "m"),
            ["objective 'm' is inconsistent", "drawn to the data"],
        ),
    ],
)  # fmt: skip
def test_refusals_are_one_line_and_change_nothing(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    refused(run(*arguments), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["objectives.yaml"]
    assert (tmp_path / "objectives.yaml").read_bytes() == (PROJECT / "objectives.yaml").read_bytes()


# --- the table -----------------------------------------------------------------------------------------


def test_all_prints_a_row_for_every_entry(run: Run) -> None:
    code, out, err = run("--all")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line[1:2].strip()}
    assert [name for name in rows if name in CATALOGUE] == list(CATALOGUE)
    for expected in ("likelihood ratio", "log(r)", "2 JSD(p, q)", " ∞ ", "fake"):
        assert expected in rows["minimax"]
    for expected in ("f divergence", "KL(p ‖ q)", "real"):
        assert expected in rows["kl"]
    assert "none: an integral probability" in rows["wasserstein"]


def test_all_as_json_is_a_list(run: Run) -> None:
    code, out, _ = run("--all", "--json")
    assert code == 0
    assert json.loads(out) == [derivation(objective) for objective in CATALOGUE.values()]


# --- curves --------------------------------------------------------------------------------------------

STARTS = {".svg": b"<?xml", ".png": b"\x89PNG\r\n", ".pdf": b"%PDF-"}


@pytest.mark.parametrize("suffix", STARTS)
def test_a_plot_is_a_file_of_its_kind(run: Run, tmp_path: Path, suffix: str) -> None:
    code, out, err = run("least_squares", "--plot", f"curves{suffix}", "--json")
    assert (code, err) == (0, f"curves: curves{suffix}\n")
    assert json.loads(out)["name"] == "least_squares"
    content = (tmp_path / f"curves{suffix}").read_bytes()
    assert content.startswith(STARTS[suffix])
    assert len(content) > 5000
    run("least_squares", "--plot", f"again{suffix}")
    assert (tmp_path / f"again{suffix}").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "curves"),
    [
        ("least_squares", {"phi", "psi", "beta", "d", "B", "s"}),
        ("minimax", {"phi", "psi", "d", "B", "s"}),
        ("total_variation", {"phi", "psi", "d", "B", "s"}),
        ("gan_qp", {"phi", "beta"}),
        ("wasserstein", {"phi", "psi"}),
    ],
)
def test_a_plot_holds_every_curve(run: Run, tmp_path: Path, name: str, curves: set[str]) -> None:
    assert run(name, "--plot", "curves.svg")[0] == 0
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    found = {
        one.get("id"): one for one in root.iter() if one.get("id") in {"phi", "psi", "beta", "d", "B", "s"}
    }
    assert set(found) == curves
    for one in found.values():
        (path,) = [part for part in one.iter() if part.tag.endswith("path")]
        assert path.get("d", "").count("L") >= 1
        assert "nan" not in path.get("d", "")


def test_the_curves_are_the_functions() -> None:
    """Against values by hand: least squares, omega = 1/(1 + r), B' = (r/(1 + r))^2/2."""
    figure = draw_curves(CATALOGUE["least_squares"])
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    x, y = (torch.from_numpy(part) for part in lines["phi"].get_data())
    torch.testing.assert_close(y, -((x - 1) ** 2) / 2, rtol=1e-12, atol=1e-12)
    r, s = (torch.from_numpy(part) for part in lines["s"].get_data())
    torch.testing.assert_close(s, r**2 / (1 + r) ** 3, rtol=1e-12, atol=0)
    r, b = (torch.from_numpy(part) for part in lines["B"].get_data())
    # The integral of (s/(1 + s))^2/2 from 1, less its tangent: by SciPy-free antidifferentiation.
    antiderivative = (r - 2 * torch.log1p(r) - 1 / (1 + r)) / 2
    at_one = (1 - 2 * torch.log(torch.tensor(2.0, dtype=torch.float64)) - 0.5) / 2
    torch.testing.assert_close(b, antiderivative - at_one - (r - 1) / 8, rtol=1e-9, atol=1e-12)


# --- adding --------------------------------------------------------------------------------------------


def test_add_appends_and_keeps_every_byte(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    before = file.read_bytes()
    code, out, err = run(
        *OWN, "--beta", "t", "--domain", "[-oo, oo]", "--title", 'Mine: "α"', "--add", "mine"
    )
    assert (code, err) == (0, "")
    assert out.endswith("added to objectives.yaml: mine\n")
    after = file.read_bytes()
    assert after.startswith(before)
    assert after[len(before) :].decode() == (
        "\nmine:\n"
        '  title: "Mine: \\"α\\""\n'
        "  construction: likelihood_ratio\n"
        "  omega: log(r)\n"
        "  rho: exp(-t/2)/2\n"
        "  beta: t\n"
        "  domain: [-oo, oo]\n"
        '  citation: "Own work: 2026"\n'
    )
    assert load_objective("mine", file).title == 'Mine: "α"'
    assert [path.name for path in tmp_path.iterdir()] == ["objectives.yaml"]
    assert list(read_entries(file)) == [*CATALOGUE, "mine"]
    refused(run(*OWN, "--add", "mine"), "has an objective of this name")
    assert file.read_bytes() == after


def test_a_named_objective_is_added_with_other_parameters(run: Run, tmp_path: Path) -> None:
    code, _, _ = run("least_squares", "--parameter", "c=1/2", "--title", "Halfway", "--add", "halfway")
    assert code == 0
    entries = read_entries(tmp_path / "objectives.yaml")
    expected = {**entries["least_squares"], "title": "Halfway", "parameters": {"a": 0, "b": 1, "c": "1/2"}}
    assert entries["halfway"] == expected


@pytest.mark.parametrize("ending", ["\n", "", "\n\n\n", "\n# a comment", "\r\n"])
def test_add_respects_how_the_file_ends(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "objectives.yaml"
    text = "one: {construction: integral_probability_metric, citation: c}"
    file.write_bytes((text + ending).encode())
    file.chmod(0o640)
    add_entry(file, "two", {"construction": "f_divergence", "f": "u*log(u)", "citation": "c"})
    content = file.read_bytes()
    assert content.startswith((text + ending).encode())
    assert (b"\r" in content) == ("\r" in ending)
    assert content.count(b"\r\n") in (0, content.count(b"\n"))
    assert list(load_objectives(file)) == ["one", "two"]
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "value",
    ["yes", "-1", "1e5", "0x10", "2001-01-01", "a: b", "a #b", "- x", " x", "~", "[x]", "null", "12:30"],
)
def test_what_yaml_would_read_otherwise_is_quoted(tmp_path: Path, value: str) -> None:
    file = tmp_path / "entry.yaml"
    spec = {
        "citation": value,
        "title": value,
        "omega": value,
        "parameters": {"a": value},
        "domain": [value, 0],
    }
    file.write_text(entry_text("entry", spec))
    assert read_entries(file)["entry"] == spec


def test_a_file_that_would_no_longer_load_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    for text in (
        "{one: {construction: integral_probability_metric, citation: c}}\n",
        "one: {citation: c}\n...\n",
    ):
        file.write_text(text)
        with pytest.raises(
            UserError, match=r"objectives\.yaml: unchanged, it would no longer load with 'two'"
        ):
            add_entry(file, "two", {"construction": "integral_probability_metric", "citation": "c"})
        assert file.read_text() == text
        assert list(tmp_path.iterdir()) == [file]


def test_what_does_not_hold_is_not_added(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    text = "one: {construction: integral_probability_metric, citation: c}\n"
    file.write_text(text)
    with pytest.raises(UserError, match=r"two\.f: .* f must be convex"):
        add_entry(file, "two", {"construction": "f_divergence", "f": "log(u)", "citation": "c"})
    assert file.read_text() == text


def test_a_failure_after_the_writing_restores_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "objectives.yaml"
    text = "one: {construction: integral_probability_metric, citation: c}\n"
    file.write_text(text)
    prove = adding._prove

    def damaged(candidate: Path, *rest: object) -> None:
        if candidate == file:
            assert "two:" in file.read_text()
            raise UserError("the disk lost it")
        prove(candidate, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(adding, "_prove", damaged)
    with pytest.raises(UserError, match="the disk lost it"):
        add_entry(file, "two", {"construction": "f_divergence", "f": "u*log(u)", "citation": "c"})
    assert file.read_text() == text


def test_an_added_objective_is_the_one_that_was_shown(run: Run, tmp_path: Path) -> None:
    _, out, _ = run(*OWN, "--add", "mine", "--json")
    facts = json.loads(out)
    again = derivation(load_objective("mine", tmp_path / "objectives.yaml"))
    assert again == facts
    assert again["checks"] == derivation(objective_from_spec("mine", facts["spec"]))["checks"]


# --- the rest of the program -----------------------------------------------------------------------------


def test_the_command_needs_no_matplotlib_without_a_plot() -> None:
    code = (
        "import sys; sys.argv = ['pipeline', 'objective', 'minimax', '--json']\n"
        "from pipeline.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted({name.split('.')[0] for name in sys.modules} "
        "& {'matplotlib', 'pandas', 'scipy', 'mlflow', 'sklearn'})))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert answer.stderr == ""
    assert json.loads(answer.stdout)["name"] == "minimax"
