# SPDX-License-Identifier: Apache-2.0
"""sweep.py SWEEP TREES RESULTS: inspects every device tree below TREES with the program SWEEP, and has dtc read every
guest tree that this made; records the tests in RESULTS and prints the totals."""

import pathlib
import resource
import subprocess
import sys
import tempfile

CPU_SECONDS = 300  # of one core, all of it: a guard against what does not end, no figure


def check_guest_trees(folder):
    """What dtc says of the trees in a folder."""
    words = []
    for tree in sorted(folder.iterdir()):
        done = subprocess.run(["dtc", "-I", "dtb", "-O", "dtb", "-o", "/dev/null", tree],
                              capture_output=True, text=True, check=False)
        words += [f"{tree.name}: {line}" for line in done.stderr.splitlines()]
        if done.returncode != 0:
            words.append(f"{tree.name}: exit status {done.returncode}")
    return words


def main():
    program, trees, results = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    outcomes = []

    def record(name, complaint):
        outcomes.append(f"{'fail' if complaint else 'pass'} {name}\n")
        print(f"  {'FAILED' if complaint else 'ok    '} {name}", file=sys.stderr)
        if complaint:
            print(complaint[:20000], file=sys.stderr)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        done = subprocess.run([program, trees, folder], capture_output=True, text=True, check=False)
        record("every node has a verdict with a reason",
               "" if done.returncode == 0 else f"exit status {done.returncode}\n{done.stderr}")
        written = len(list(folder.iterdir()))
        record("guest's nodes are made", "" if written else "no guest tree was written")
        record("dtc warns of nothing in a guest's tree", "\n".join(check_guest_trees(folder)))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime
    record(f"no more than {CPU_SECONDS} s of one core are used",
           "" if seconds <= CPU_SECONDS else f"{seconds:.1f} s were used")
    print(f"{pathlib.Path(trees).name}, {seconds:.1f} s of CPU\n\n{done.stdout}", file=sys.stderr)
    results.write_text("".join(outcomes))


main()
