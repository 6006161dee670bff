"""capa over a list of files, by rules of our own that name what malware does.

Only what a program's file says is looked at: its imports, sections and strings.
capa's rules about code would need a disassembly, which takes up to a minute for
a small program.
"""

import logging
import tempfile
from pathlib import Path

import acquit_driver
import capa.features.extractors.common
import capa.features.extractors.elffile
import capa.features.extractors.pefile
import capa.rules
import pefile
from acquit_driver import Unsupported, suspicious, undetected
from capa.capabilities.common import find_file_capabilities
from capa.features.common import FORMAT_ELF, FORMAT_PE
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

SECONDS = 55
EXTRACTORS = {
    FORMAT_PE: capa.features.extractors.pefile.PefileFeatureExtractor,
    FORMAT_ELF: capa.features.extractors.elffile.ElfFeatureExtractor,
}


def is_whole(path, kind):
    """capa does not notice that a file is cut off."""
    size = path.stat().st_size
    if kind == FORMAT_PE:
        sections = pefile.PE(str(path), fast_load=True).sections
        return all(part.PointerToRawData + part.SizeOfRawData <= size for part in sections)
    with path.open("rb") as file:
        segments = list(ELFFile(file).iter_segments())
    return all(part["p_offset"] + part["p_filesz"] <= size for part in segments)


def format_of(path):
    with path.open("rb") as file:
        head = file.read(256)
    found = [feature.value for feature, _ in capa.features.extractors.common.extract_format(head)]
    if not found or found[0] not in EXTRACTORS:
        raise Unsupported("no program for Windows or Linux")
    return found[0]


def examine(path):
    path = Path(path)
    kind = format_of(path)
    try:
        if not is_whole(path, kind):
            raise Unsupported("the program is cut off")
        found = find_file_capabilities(rules, EXTRACTORS[kind](path), {})
    except (pefile.PEFormatError, ELFError) as error:
        raise Unsupported(f"no program that can be read: {error}") from error
    names = [name for name in found.matches if rules[name].meta["namespace"] == "acquit/malicious"]
    return suspicious(f"capa.{names[0].replace(' ', '-')}") if names else undetected()


logging.disable(logging.CRITICAL)
rules = capa.rules.get_rules(
    [Path(__file__).parent / "rules"], cache_dir=Path(tempfile.mkdtemp()), enable_cache=False
)
acquit_driver.run(examine, SECONDS)
