"""What goes before compiling: where kernels lie, which patches apply, what a configuration lost."""

from __future__ import annotations

import json
import os
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
    assert len(names) == 9


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


def test_a_kernel_that_is_current_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(features=("kcov",))
    kernel.folder.mkdir(parents=True)
    kernel.image.touch()
    facts = {"patches": sources.fingerprint(sources.patch_files(kernel)), "config": build.fragments_fingerprint(kernel)}
    kernel.facts_file.write_text(json.dumps(facts), "utf-8")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BuildError, match="apt-get install"):
        build.build(kernel, None, 1, lambda line: None)
    kernel.blocks_file.touch()
    assert build.build(kernel, None, 1, lambda line: None) == kernel.image
    kernel.facts_file.write_text(json.dumps({**facts, "patches": "older"}), "utf-8")
    with pytest.raises(BuildError, match="apt-get install"):
        build.build(kernel, None, 1, lambda line: None)


def test_files_that_have_not_changed_keep_their_times(tmp_path: Path) -> None:
    for name, texts in {"old": "abc", "new": "abd"}.items():
        (tmp_path / name / "net").mkdir(parents=True)
        for file, text in zip(("same", "net/same", "other"), (texts[0], texts[1], texts[2]), strict=True):
            (tmp_path / name / file).write_text(text, "utf-8")
            os.utime(tmp_path / name / file, (1000, 1000 if name == "old" else 2000))
    (tmp_path / "new" / "added").write_text("", "utf-8")
    os.utime(tmp_path / "new" / "added", (500, 500))
    sources.keep_times(tmp_path / "new", tmp_path / "old")
    times = {name: (tmp_path / "new" / name).stat().st_mtime for name in ("same", "net/same", "other", "added")}
    assert times["same"] == times["net/same"] == 1000
    # Archives keep times: a changed file may be older than what was made from the one before it.
    assert min(times["other"], times["added"]) > 3000
