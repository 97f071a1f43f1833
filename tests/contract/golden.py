"""Golden bytes and ProtoJSON of every message of ours, one file a package, one line a sample; and the values of every
enum, for their names travel in JSON and their numbers in bytes.

`python -m tests.contract.golden` renews the files from gen/descriptors.binpb. It refuses if what was written before
would now be read otherwise, for then the contract has broken; `--break` renews even so, before the first release.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from .contracts import descriptor_set, enums, message_names, our_files, pool_of
from .samples import samples

FOLDER = Path(__file__).parent / "golden"

Sample: TypeAlias = dict[str, Any]  # {"hex": …, "json": …}
Golden: TypeAlias = dict[str, dict[str, Sample]]  # by message, by sample


def to_json(message: Message, pool: DescriptorPool | None = None) -> Any:
    """The message as a ProtoJSON value."""
    return json.loads(json_format.MessageToJson(message, descriptor_pool=pool))


def expected(pool: DescriptorPool, names: list[str]) -> Golden:
    """What the contracts in the pool say that the golden files hold."""
    return {
        name: {
            sample: {"hex": message.SerializeToString(deterministic=True).hex(), "json": to_json(message, pool)}
            for sample, message in samples(pool, name)
        }
        for name in names
    }


@cache
def committed() -> Golden:
    """What the golden files hold."""
    golden: Golden = {}
    for path in sorted(FOLDER.glob("worldmesh.*.json")):
        golden |= json.loads(path.read_text())
    return golden


def committed_enums() -> dict[str, dict[str, int]]:
    """The enums as they were committed."""
    values: dict[str, dict[str, int]] = json.loads((FOLDER / "enums.json").read_text())
    return values


def changed_enums(now: dict[str, dict[str, int]]) -> list[str]:
    """The values that are gone, or have another number; those that came are no change."""
    return [
        f"{enum}.{name} = {number}"
        for enum, values in committed_enums().items()
        for name, number in values.items()
        if now.get(enum, {}).get(name) != number
    ]


def read_otherwise(pool: DescriptorPool, golden: Golden) -> list[str]:
    """The samples that the contracts in the pool read otherwise than they were written."""
    return [
        f"{name} ({sample})"
        for name, of_message in golden.items()
        for sample, value in of_message.items()
        if not _reads(pool, name, value)
    ]


def _reads(pool: DescriptorPool, name: str, value: Sample) -> bool:
    try:
        descriptor = pool.FindMessageTypeByName(name)
        message = GetMessageClass(descriptor).FromString(bytes.fromhex(value["hex"]))
        again = to_json(message, pool)
    except Exception:  # whatever it is that fails, it does not read
        return False
    return same_json(again, value["json"])


def same_json(a: Any, b: Any) -> bool:
    """Whether two values are the same in JSON, where true is not 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def write(golden: Golden) -> None:
    """Writes the golden files: keys sorted, one line a sample."""
    for package in sorted({file.package for file in our_files()}):
        messages = {name: of for name, of in golden.items() if name.startswith(f"{package}.")}
        if messages:
            (FOLDER / f"{package}.json").write_text(_text(messages))


def _text(golden: Golden) -> str:
    blocks = []
    for name, of_message in sorted(golden.items()):
        lines = (f"  {json.dumps(s)}: {json.dumps(v, sort_keys=True)}" for s, v in of_message.items())
        blocks.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Renews the golden files."""
    pool = pool_of(descriptor_set())
    broken = [] if "--break" in arguments else [*read_otherwise(pool, committed()), *changed_enums(enums())]
    if broken:
        print("refused: these would be read otherwise than they were written:", *broken, sep="\n  ")
        return 1
    write(expected(pool, message_names()))
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(enums().items()))
    (FOLDER / "enums.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
