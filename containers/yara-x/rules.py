"""How YARA-X compiles, the same for a scan and for an update."""

import os

import yara_x

# Rules of public collections ask for these; a scan knows no file's name.
EXTERNALS = ("filename", "filepath", "extension", "filetype", "owner")


def compile_rules(compiler, path):
    """Adds a file to a compiler; what it includes is beside it."""
    with open(path, encoding="utf-8") as source:
        compiler.add_source(source.read(), origin=os.path.basename(path))


def new_compiler(directory):
    compiler = yara_x.Compiler(relaxed_re_syntax=True)
    compiler.enable_includes(True)
    compiler.add_include_dir(directory)
    for name in EXTERNALS:
        compiler.define_global(name, "")
    return compiler
