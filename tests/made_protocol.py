"""A protocol of three classes and its list files, for tests."""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mdmf_jax.data.protocols import protocol as protocols

CLASSES = [  # split, folder, name, number, videos
    ("train", "jump", "jump", 0, ["j1", "j2"]),
    ("test", "a run", "a run", 0, ["r1", "r2", "r3"]),
    ("test", "kick_ball", "kick ball", 1, ["b1", "b2"]),
]
MORE = {"a run": ["r1", "r2", "r3", "extra1"], "kick_ball": ["b1", "b2"]}
ORIGIN = "https://github.com/someone/lists"


@dataclass(frozen=True)
class Made:
    """The protocol "made", its list files by split, and their lines."""

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
    for split in ("train", "test"):
        classes = [c for c in CLASSES if c[0] == split]
        lines[split] = [f"{c[1]}/{video}" for c in classes for video in c[4]]
        lists[split] = root / "files" / "few shot" / f"{split}list03.txt"
        lists[split].parent.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{line}\n" for line in lines[split]).encode()
        lists[split].write_bytes(content)
        known.append(
            {
                "split": split,
                "file": f"few shot/{split}list03.txt",
                "origin": ORIGIN,
                "revision": "main",
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "videos": len(lines[split]),
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
    classes = [[split, f, name, name, "", number, len(v)] for split, f, name, number, v in CLASSES]
    _write(folder / "classes.csv", "split,folder,name,prompt,label,number,count", classes)
    contents = [[split, "standard", f, len(v), _digest(v)] for split, f, _, _, v in CLASSES]
    contents += [["test", "more", f, len(v), _digest(v)] for f, v in MORE.items()]
    _write(folder / "contents.csv", "split,contents,folder,count,digest", contents)
    monkeypatch.setattr(protocols, "_PLACES", (root / "splits",))
    protocols.load.cache_clear()
    return Made(protocols.load("made"), lists, lines, root / "files")
