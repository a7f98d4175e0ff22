"""A folder of backups in which somebody else deletes at the same time."""

import sys
from pathlib import Path
from typing import Any

from app.runtime.backup.folder_place import FolderPlace
from app.runtime.backup.manifest import UPLOADS


def test_uploads_that_somebody_else_deletes_meanwhile_are_passed_over(tmp_path: Path) -> None:
    shards = [tmp_path / UPLOADS / name for name in ("ab", "cd", "ef")]
    for shard in shards:
        shard.mkdir(parents=True)
    files = [shard / "1.png" for shard in shards[:2]]
    for file in files:
        file.touch()

    def hurry(name: str, arguments: tuple[Any, ...]) -> None:  # stays until the process ends
        path = Path(str(arguments[0])) if name in {"os.scandir", "os.remove"} else None
        if path == shards[2] and path.exists():
            path.rmdir()
        elif path in files and name == "os.remove":
            files.remove(path)
            path.unlink()

    sys.addaudithook(hurry)
    place = FolderPlace(tmp_path)
    assert place.uploads() == {"ab/1.png", "cd/1.png"}
    assert not shards[2].exists()
    place.delete_uploads({"cd/1.png"})
    assert files == [shards[1] / "1.png"]
    assert place.uploads() == {"cd/1.png"}
