"""One family name out of the labels that engines gave a file.

What is shown to it is a list of labels as AVClass calls it, one JSON object:
`{"sha256": …, "av_labels": [[engine, label], …]}`. Its answer is the family as
a name, or `undetected` where the labels agree on none.
"""

import json
import logging
import re
import string

import acquit_driver
import avclass
from acquit_driver import Unsupported, malicious, undetected
from avclass.common import AvLabels, SampleInfo

SECONDS = 20
# Categories of AVClass's taxonomy that name a family; UNK is one it does not know yet.
FAMILIES = ("FAM", "UNK")


def labels_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        labels = [(str(engine), str(label)) for engine, label in report["av_labels"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unsupported("not a list of labels") from error
    return [(engine, plain(label)) for engine, label in labels]


def plain(label):
    """Without what AVClass cannot read, and without the house's own prefix, which names no family."""
    printable = "".join(filter(set(string.printable).__contains__, label)).strip()
    return re.sub(r"^Acquit[._]", "", printable)


def examine(path):
    sample = SampleInfo("", "", "", labels_of(path), [])
    for tag, _ in labeler.rank_tags(labeler.get_sample_tags(sample)):
        if labeler.taxonomy.get_category(tag) in FAMILIES:
            return malicious(tag)
    return undetected()


logging.disable(logging.CRITICAL)
labeler = AvLabels(avclass.DEFAULT_TAG_PATH, avclass.DEFAULT_EXP_PATH, avclass.DEFAULT_TAX_PATH)
acquit_driver.run(examine, SECONDS)
