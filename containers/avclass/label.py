"""One family name out of the labels that engines gave a file.

usage: label.py [FILE]

Reads one JSON object a line, from the file or from standard input, as AVClass
calls it: `{"sha256": …, "av_labels": [[engine, label], …]}`. `scans` and
`last_analysis_results` of VirusTotal's reports do too. Prints one object for
each line, in their order:

    {"sha256": "…", "family": "wannacry", "engines": 3, "tags": [["FAM:wannacry", 3]]}

`family` is null where fewer than two engines agree. Engines of one family count
once: AVClass drops labels that are the same. A line that cannot be read is
answered with `error`. The last line says how many there were.
"""

import json
import logging
import string
import sys

import avclass
from avclass.common import AvLabels, SampleInfo

TAGS = 10


def labels_of(report):
    if "av_labels" in report:
        return [(str(engine), str(label)) for engine, label in report["av_labels"] if label]
    report = report.get("attributes", report)
    results = report.get("last_analysis_results", report.get("scans"))
    if results is None:
        raise ValueError("there are no labels")
    return [(engine, str(found["result"])) for engine, found in results.items() if found.get("result")]


def answer(line):
    report = json.loads(line)
    identity = str(report.get("sha256", ""))
    printable = [
        (engine, "".join(filter(string.printable.__contains__, label)).strip())
        for engine, label in labels_of(report)
    ]
    sample = SampleInfo("", "", identity, printable, [])
    tags = labeler.rank_tags(labeler.get_sample_tags(sample))
    names = [(tag, count) for tag, count in tags if labeler.taxonomy.get_category(tag) in ("FAM", "UNK")]
    family, engines = names[0] if names else (None, 0)
    paths = [[labeler.taxonomy.get_path(tag) or tag, count] for tag, count in tags[:TAGS]]
    return {"sha256": identity, "family": family, "engines": engines, "tags": paths}


def main(lines):
    count = 0
    for count, line in enumerate(lines, 1):
        try:
            said = answer(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(said), flush=True)
    print(json.dumps({"done": count}), flush=True)


logging.disable(logging.CRITICAL)
labeler = AvLabels(avclass.DEFAULT_TAG_PATH, avclass.DEFAULT_EXP_PATH, avclass.DEFAULT_TAX_PATH)
if len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as source:
        main(source)
else:
    main(sys.stdin)
