"""What goes before compiling: where kernels lie, which patches apply, what a configuration lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack_under_test.uml import build, sources, tools
from stack_under_test.uml.places import RELEASES, Kernel, available, built, cache
from stack_under_test.uml.steps import BuildError, carry_out


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_the_cache_is_where_the_user_wants_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache() == folder / "sockdiff" / "uml"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache() == Path.home() / ".cache" / "sockdiff" / "uml"


def test_a_kernel_that_was_not_built_says_how_to_build_it() -> None:
    assert built() == []
    reason = available(Kernel("6.1", ("kcov",)))
    assert reason is not None
    assert "sockdiff uml build --release 6.1 --kcov" in reason


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_has_every_patch_once(release: str) -> None:
    names = [path.name for path in sources.patch_files(Kernel(release))]
    assert names == sorted(set(names))
    assert len(names) == 8


def test_patches_and_fragments_end_in_a_newline() -> None:
    for path in [*sources.DATA.glob("patches/*/*.patch"), *sources.DATA.glob("config/*.config")]:
        assert path.read_bytes().endswith(b"\n")


def test_every_patch_is_documented() -> None:
    page = (sources.DATA.parents[1] / "docs" / "uml.md").read_text("utf-8")
    for path in sources.patch_files(Kernel()):
        assert f"### {path.stem}:" in page


def test_symbols_that_did_not_take() -> None:
    fragment = '# words\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_C=n\nCONFIG_D="x"\n'
    assert build.not_taken('CONFIG_A=y\nCONFIG_D="x"\n', fragment) == []
    assert build.not_taken("CONFIG_C=y\n", fragment) == ["CONFIG_A=y", "CONFIG_C=n", 'CONFIG_D="x"']


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("flex", "apt-get") else name)
    assert tools.missing(fetching=False) == ["flex"]
    assert tools.missing(fetching=True) == ["flex", "apt"]
    with pytest.raises(BuildError, match="apt-get install flex"):
        build.build(Kernel(), Path("/"), 1, lambda line: None)


def test_a_source_that_is_not_there() -> None:
    if tools.missing(fetching=False):
        pytest.skip(tools.complaint(tools.missing(fetching=False)))
    with pytest.raises(BuildError, match="no such file"):
        build.build(Kernel(), Path("/no/such"), 1, lambda line: None)


def test_a_command_that_fails_tells_its_last_words(folder: Path) -> None:
    with pytest.raises(BuildError, match="error: seven"):
        carry_out("trying", ["sh", "-c", "echo fine; echo error: seven; exit 3"], folder / "log", lambda line: None)
