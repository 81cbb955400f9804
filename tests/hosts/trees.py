# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trees: the files of a recorded host as one text. README.md describes the lines."""
import os
import re

EXPRESSION = re.compile(r"\{([^{}]*)\}")
ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|n|\\)")
CAPABILITY, CAPABILITY_SIZE = 0x100, 12
# The first line of what others have sent: paths and texts alone, of which nothing is evaluated.
RECORDED = "recorded"
LARGEST = 1 << 20  # base/file.cpp reads no larger file
# A name that a line can hold: it does not end early, is no expression and has no escape.
NAME = re.compile(r"(?!.* (?:->|=|:=))[!-~](?:[ -~]*[!-~])?")


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
    text = text.replace("{", "\\x7b").replace("}", "\\x7d")
    return text[:-1] + "\\x20" if text.endswith(" ") else text  # blanks at the end of a line are lost


def without_serial(text):
    """The same, where it begins as the line of a serial number would."""
    return "\\x73" + text[1:] if text.startswith("serial ") else text


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
            for row in eval(source, {**names, **values}):  # our own files: recorded() evaluates nothing
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


def recorded(lines):
    """The lines of a recorded tree: all have the whole path."""
    for line in lines:
        if not line.startswith(("sys/", "proc/", "run/", "var/")):
            raise TreeError(f"not a line of a recorded tree: {line}")
    return lines


def is_below(path, top):
    """Whether it is `top` or in it, wherever links lead."""
    real, top = os.path.realpath(path), os.path.realpath(top)
    return real == top or real.startswith(top + "/")


def path_in(top, name):
    """Where a line writes. Refuses all that is not below `top`, by `..` or through a link."""
    path = top / name.lstrip("/")
    if ".." in path.relative_to(top).parts or not is_below(path.parent, top) or path.is_symlink():
        raise TreeError(f"not written, as it is outside the host or is a link: {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(path, kind, text):
    if kind == "->":
        path.symlink_to(os.fsdecode(unescaped(text)))
    elif kind == "=":
        path.write_bytes(unescaped(text) + b"\n")
    elif text.startswith("serial "):
        path.write_bytes(config_space(text[7:]))
    else:
        path.write_bytes(unescaped(text))


def check_links(links, top):
    """What reads the host would follow them. Checked when all are made: one may lead through another."""
    for link in links:
        if os.path.isabs(os.readlink(link)) or not is_below(link, top):
            raise TreeError(f"a link that leads out of the host: {link.relative_to(top)} -> {os.readlink(link)}")


def build(tree, top):
    """Writes the files of a tree below `top`."""
    lines = [line.strip() for line in tree.read_text().split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    is_recorded = lines[:1] == [RECORDED]
    prefix, links = "", []
    for line in recorded(lines[1:]) if is_recorded else with_links(expanded(lines, {})):
        if line.startswith("in "):
            prefix = line[3:].rstrip("/") + "/" if line != "in /" else ""
            continue
        found = re.fullmatch(r"(\S.*?)(?: (->|=|:=) ?(.*))?", line)
        name, kind, text = found[1], found[2], found[3]
        path = path_in(top, (prefix if not name.startswith("/") else "") + name)
        if kind:
            write(path, kind, text)
        elif name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            raise TreeError(f"{tree}: not understood: {line}")
        links += [path] if kind == "->" else []
    check_links(links, top)
    for name in ("proc", "run/gpuward", "etc/gpuward"):  # that a host without them is no host
        (top / name).mkdir(parents=True, exist_ok=True)


def name_in_host(member):
    """The path on the host of what an archive has in its one directory."""
    return member.name.split("/", 1)[1] if "/" in member.name else ""


def check_member(member):
    """Refuses what `gpuward gather` does not write: the archive may be anyone's."""
    name = name_in_host(member)
    if not (member.isdir() or member.issym() or member.isreg()):
        raise TreeError(f"neither a file nor a link nor a directory: {escaped(os.fsencode(member.name))}")
    if member.isreg() and member.size > LARGEST and name != "journal":
        raise TreeError(f"larger than {LARGEST} bytes: {escaped(os.fsencode(member.name))}")
    if name and (not NAME.fullmatch(name) or set("\\{}") & set(name) or {"", ".", ".."} & set(name.split("/"))):
        raise TreeError(f"not a path of a host: {escaped(os.fsencode(member.name))}")


def lines_of(archive):
    """The lines of a tree for what `gpuward gather` has recorded; sysfs and what gpuward keeps."""
    lines = [RECORDED]
    for member in archive.getmembers():
        check_member(member)
        name = name_in_host(member)
        if not name.startswith(("sys/", "proc/", "run/", "var/")):
            continue
        if member.isdir():
            lines.append(f"{name}/")
        elif member.issym():
            lines.append(f"{name} -> {escaped(os.fsencode(member.linkname))}")
        else:
            data = archive.extractfile(member).read()
            serial = serial_of(data)
            if serial:
                lines.append(f"{name} := serial {serial}")
            elif data.endswith(b"\n"):
                lines.append(f"{name} = {escaped(data[:-1])}".rstrip())
            else:
                lines.append(f"{name} := {without_serial(escaped(data))}".rstrip())
    return lines


CONFIG = re.compile(r"etc/gpuward/(gpuward\.conf|conf\.d/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*\.conf)")


def config_of(archive):
    """The files of a recorded configuration, by their path in the folder of a host."""
    files = {}
    for member in archive.getmembers():
        check_member(member)
        name = name_in_host(member)
        found = CONFIG.fullmatch(name)
        if found and member.isreg():
            files[found[1]] = archive.extractfile(member).read()
        elif name.startswith("etc/") and not member.isdir():
            raise TreeError(f"not a file of a configuration: {name}")
    return files


def import_host(archive, host):
    """Makes the folder of a host, after all of the archive has been understood."""
    lines, config = lines_of(archive), config_of(archive)
    host.mkdir()
    (host / "tree").write_text("\n".join(lines) + "\n")
    for name, text in config.items():
        (host / name).parent.mkdir(exist_ok=True)
        (host / name).write_bytes(text)
