"""How boreal compiles, the same for a scan and for an update."""

import boreal

# Rules of public collections ask for these; a scan knows no file's name.
EXTERNALS = {name: "" for name in ("filename", "filepath", "extension", "filetype", "owner")}


def compile_rules(paths):
    """Compiles files as one; what they include is beside them."""
    source = "".join(f'include "{path}"\n' for path in paths)
    return boreal.compile(source=source, externals=EXTERNALS, includes=True)
