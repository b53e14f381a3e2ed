# SPDX-License-Identifier: Apache-2.0
"""unit_results.py TESTLOG RESULTS: counts the doctest cases of a Meson test run, and each fuzzer's corpus
as one; shows what failed."""

import json
import re
import sys

SUMMARY = re.compile(r"\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed")

CORPUS = re.compile(r"^Done (\d+) runs", re.MULTILINE)


def main(testlog, results_path):
    failures = 0
    with open(testlog, encoding="utf-8") as log, open(results_path, "a", encoding="utf-8") as out:
        for line in log:
            entry = json.loads(line)
            output = entry.get("stdout", "") + entry.get("stderr", "")
            summary = SUMMARY.search(output)
            passed, failed = (int(summary[2]), int(summary[3])) if summary else (0, 0)
            corpus = CORPUS.search(output)
            if corpus and int(corpus[1]) > 1 and entry["result"] == "OK":  # one is empty
                passed = 1
            # A sanitizer's report or a crash fails a program all of whose cases passed.
            if entry["result"] != "OK" and failed == 0:
                failed = 1
            if passed + failed == 0:
                failed, output = 1, output + "\nit ran no test"
            out.write(f"pass {entry['name']}\n" * passed + f"fail {entry['name']}\n" * failed)
            failures += failed
            if failed:
                print(f"  FAILED {entry['name']} ({entry['result']})")
                print("    | " + output.strip().replace("\n", "\n    | "))
            else:
                cases = f"{corpus[1]} inputs" if corpus else f"{passed} cases"
                print(f"  ok     {entry['name']}: {cases}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
