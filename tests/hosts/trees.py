# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees: the files of a recorded host as one text. README.md describes the lines."""
import re

EXPRESSION = re.compile(r"\{([^{}]*)\}")
ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|n|\\)")
CAPABILITY, CAPABILITY_SIZE = 0x100, 12


class TreeError(Exception):
    pass


def routing_id(address):
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    return domain, int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)


def vf(pf, distance):
    """The address of the function whose routing ID is that far behind the one of pf."""
    domain, number = routing_id(pf)
    number += distance
    return f"{domain}:{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"


def config_space(serial):
    """Configuration space with this serial number and nothing else, as inventory/host_record.cpp has it."""
    space = bytearray(CAPABILITY + CAPABILITY_SIZE)
    space[CAPABILITY], space[CAPABILITY + 2] = 3, 1
    space[CAPABILITY + 4:] = bytes.fromhex(serial.replace("-", ""))[::-1]
    return bytes(space)


def serial_of(space):
    """The serial number of such a space; None for any other bytes."""
    if len(space) != CAPABILITY + CAPABILITY_SIZE:
        return None
    serial = space[:CAPABILITY + 3:-1].hex("-")
    return serial if config_space(serial) == space else None


def escaped(data):
    text = "".join(chr(byte) if 32 <= byte < 127 else "\\n" if byte == 10 else f"\\x{byte:02x}" for byte in
                   data.replace(b"\\", b"\\\\"))
    return text.replace("{", "\\x7b").replace("}", "\\x7d")


def unescaped(text):
    return ESCAPED.sub(lambda found: {b"n": b"\n", b"\\": b"\\"}.get(found[1]) or bytes.fromhex(found[1][1:].decode()),
                       text.encode())


def expanded(lines, values):
    """The lines of blocks `each NAMES in TABLE` … `end`, once for each row."""
    tables, result, at = {}, [], 0
    names = {"vf": vf, "range": range, "int": int, "__builtins__": {}}

    def body(start):
        depth, end = 1, start
        while depth:
            if end == len(lines):
                raise TreeError(f"no end of '{lines[start - 1]}'")
            depth += lines[end].startswith(("each ", "table ")) - (lines[end] == "end")
            end += 1
        return lines[start:end - 1], end

    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("table "):
            rows, at = body(at)
            tables[line[6:]] = [[cell.strip() for cell in row.split("|")] for row in rows]
            values = {**values, line[6:]: tables[line[6:]]}
        elif line.startswith("each "):
            variables, source = line[5:].split(" in ", 1)
            variables = [name.strip() for name in variables.split(",")]
            block, at = body(at)
            for row in eval(source, {**names, **values}):  # our own files
                row = row if isinstance(row, list) else [row]
                result += expanded(block, {**values, **dict(zip(variables, row))})
        else:
            result.append(EXPRESSION.sub(lambda found: str(eval(found[1], {**names, **values})), line))
    return result


def with_links(lines):
    """The lines with `pci DIRECTORY` and `group NUMBER` written out."""
    directory = ""
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "pci":
            directory = rest
            yield f"/sys/bus/pci/devices/{directory.rpartition('/')[2]} -> ../../../{directory}"
            yield f"in sys/{directory}"
        elif word == "group":
            up = "../" * directory.count("/")
            yield f"iommu_group -> ../{up}kernel/iommu_groups/{rest}"
            yield (f"/sys/kernel/iommu_groups/{rest}/devices/{directory.rpartition('/')[2]} -> "
                   f"../../../../{directory}")
        else:
            yield line


def build(tree, top):
    """Writes the files of a tree below `top`."""
    lines = [line.strip() for line in tree.read_text().split("\n")]
    prefix = ""
    for line in with_links(expanded([line for line in lines if line and not line.startswith("#")], {})):
        if line.startswith("in "):
            prefix = line[3:].rstrip("/") + "/" if line != "in /" else ""
            continue
        found = re.fullmatch(r"(\S.*?)(?: (->|=|:=) ?(.*))?", line)
        name, kind, text = found[1], found[2], found[3]
        path = top / ((prefix if not name.startswith("/") else "") + name.lstrip("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "->":
            path.symlink_to(text)
        elif kind == "=":
            path.write_bytes(unescaped(text) + b"\n")
        elif kind == ":=":
            path.write_bytes(config_space(text[7:]) if text.startswith("serial ") else unescaped(text))
        elif name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            raise TreeError(f"{tree}: not understood: {line}")
    for name in ("proc", "run/gpuward", "etc/gpuward"):  # that a host without them is no host
        (top / name).mkdir(parents=True, exist_ok=True)


def lines_of(archive):
    """The lines of a tree for what `gpuward gather` has recorded; sysfs and what gpuward keeps."""
    lines = []
    for member in archive.getmembers():
        name = member.name.split("/", 1)[1] if "/" in member.name else ""
        if not name.startswith(("sys/", "proc/", "run/", "var/")):
            continue
        if member.isdir():
            lines.append(f"{name}/")
        elif member.issym():
            lines.append(f"{name} -> {member.linkname}")
        else:
            data = archive.extractfile(member).read()
            serial = serial_of(data)
            if serial:
                lines.append(f"{name} := serial {serial}")
            elif data.endswith(b"\n"):
                lines.append(f"{name} = {escaped(data[:-1])}".rstrip())
            else:
                lines.append(f"{name} := {escaped(data)}".rstrip())
    return lines
