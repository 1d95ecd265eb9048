"""Files that change are seen."""

from threading import Event

from toolserver.reloader import Watch


def test_a_file_that_comes_and_one_that_goes(tmp_path):
    awaited, folder = tmp_path / "awaited.py", tmp_path / "tools"
    folder.mkdir()
    gone = folder / "gone.py"
    gone.touch()
    # A link to nowhere, as editors leave them, is no file.
    (folder / "lock.py").symlink_to("nowhere")
    # Nor is what is no Python, or is hidden.
    others = [folder / "notes.txt", folder / ".draft.py"]
    watch = Watch([awaited, folder], interval=0.01)
    for other in others:
        other.touch()
    awaited.touch()
    gone.unlink()
    assert sorted(watch.wait(Event())) == [awaited, gone]
