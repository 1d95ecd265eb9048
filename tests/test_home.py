"""Which home is meant, and what is wrong with it."""

import os
from pathlib import Path

import pytest

from toolserver.errors import StartError
from toolserver.home import FOLDERS, Home


def make(path):
    home = Home(path)
    home.create()
    home.settings_file.touch()
    return home


def test_what_is_given_goes_before_the_environment(tmp_path):
    environment = {"TOOLSERVER_HOME": str(tmp_path / "b")}
    assert Home.find(tmp_path / "a", environment).path == tmp_path / "a"
    assert Home.find(None, environment).path == tmp_path / "b"


def test_current_folder_if_it_is_a_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Home.find(None, {"HOME": "/home/ann"}).path == Path("/home/ann/.toolserver")
    make(tmp_path)
    assert Home.find(None, {"HOME": "/home/ann"}).path == tmp_path


def test_relative_and_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert Home.find("x").path == tmp_path / "x"
    assert Home.find("~/x").path == Path("/home/ann/x")


def test_current_folder_that_was_deleted(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Home.find(None, {"HOME": "/home/ann"}).path == Path("/home/ann/.toolserver")


def test_user_without_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match="give --home DIR or set \\$TOOLSERVER_HOME"):
        Home.find(None, {"HOME": "nowhere"})


def test_create_makes_all_folders_once(tmp_path):
    home = Home(tmp_path / "deep" / "home")
    assert {path.name for path in home.create()} == {"home", *FOLDERS}
    assert home.create() == []
    assert home.privkeys.stat().st_mode & 0o777 == 0o700


def test_create_shuts_keys_that_others_may_read(tmp_path):
    home = make(tmp_path)
    home.privkeys.chmod(0o755)
    assert home.create() == [home.privkeys]
    assert home.privkeys.stat().st_mode & 0o777 == 0o700


def test_create_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "tools").touch()
    with pytest.raises(StartError, match="tools: cannot be made: File exists"):
        Home(tmp_path).create()


def test_missing_home_says_what_to_do(tmp_path):
    with pytest.raises(StartError) as caught:
        Home(tmp_path / "x").check()
    assert f"run 'tsctl --home {tmp_path / 'x'} init'" in str(caught.value)


def test_a_home_that_cannot_be_read(tmp_path):
    home = make(tmp_path)
    home.settings_file.unlink()
    home.settings_file.symlink_to(home.settings_file)
    with pytest.raises(StartError, match=r"toolserver\.toml: cannot be read: Too many"):
        home.check()


@pytest.mark.parametrize("name", ["config", "tools", "lib", "www"])
def test_folder_that_cannot_be_read(tmp_path, monkeypatch, name):
    home = make(tmp_path)
    # Root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / name)
    with pytest.raises(StartError, match=f"{name}: cannot be read"):
        home.prepare()


def test_prepare_makes_what_is_missing(tmp_path):
    home = make(tmp_path)
    home.var.rmdir()
    home.prepare()
    assert home.var.is_dir()


@pytest.mark.parametrize("name", ["var", "log"])
def test_folder_that_cannot_be_written(tmp_path, monkeypatch, name):
    home = make(tmp_path)
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / name)
    with pytest.raises(StartError, match=f"{name}: cannot be written"):
        home.prepare()
