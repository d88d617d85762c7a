"""A protocol of three classes and its list files, for tests."""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mdmf_jax.data.protocols import protocol as protocols

CLASSES = [  # part, folder, name, number, videos
    ("train", "jump", "jump", 0, ["j1", "j2"]),
    ("test", "a run", "a run", 0, ["r1", "r2", "r3"]),
    ("test", "kick_ball", "kick ball", 1, ["b1", "b2"]),
]
MORE = {"a run": ["r1", "r2", "r3", "extra1"], "kick_ball": ["b1", "b2"]}
ORIGIN = "https://github.com/someone/lists"


@dataclass(frozen=True)
class Made:
    """The protocol "made", its list files by part, and their lines."""

    protocol: protocols.Protocol
    lists: dict[str, Path]
    lines: dict[str, list[str]]
    files: Path


def _digest(videos: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(videos)).encode()).hexdigest()[:16]


def _write(path: Path, columns: str, rows: list[list]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(","), *rows])


def make(root: Path, monkeypatch) -> Made:
    """Writes the protocol and its lists below `root`, and makes it the only one."""
    folder, lists, lines, known = root / "splits" / "made", {}, {}, []
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        classes = [c for c in CLASSES if c[0] == part]
        lines[part] = [f"{c[1]}/{video}" for c in classes for video in c[4]]
        lists[part] = root / "files" / "few shot" / f"{part}list03.txt"
        lists[part].parent.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{line}\n" for line in lines[part]).encode()
        lists[part].write_bytes(content)
        known.append(
            {
                "part": part,
                "file": f"few shot/{part}list03.txt",
                "origin": ORIGIN,
                "revision": "main",
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "videos": len(lines[part]),
                "classes": len(classes),
                "variant": "standard",
                "contents": "standard",
            }
        )
    facts = {
        "title": "Made",
        "paper": "none",
        "address": ORIGIN,
        "dataset": "made",
        "defined_by": "videos",
        "left_right": False,
        "remark": "",
        "lists": known,
    }
    (folder / "protocol.json").write_text(json.dumps(facts))
    classes = [[part, f, name, name, "", number, len(v)] for part, f, name, number, v in CLASSES]
    _write(folder / "classes.csv", "part,folder,name,prompt,label,number,count", classes)
    contents = [[part, "standard", f, len(v), _digest(v)] for part, f, _, _, v in CLASSES]
    contents += [["test", "more", f, len(v), _digest(v)] for f, v in MORE.items()]
    _write(folder / "contents.csv", "part,contents,folder,count,digest", contents)
    monkeypatch.setattr(protocols, "_PLACES", (root / "splits",))
    protocols.load.cache_clear()
    return Made(protocols.load("made"), lists, lines, root / "files")
