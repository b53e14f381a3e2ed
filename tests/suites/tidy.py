# SPDX-License-Identifier: Apache-2.0
"""tidy.py TOP CACHE RESULTS: clang-tidy over every C++ file, as the builds compile it.

Most of clang-tidy's time goes into the libraries' headers, so a file is checked together with its neighbours, in one
source that includes them. Where that cannot be compiled, as two files use one name, those that the compiler complains of
are checked without the others.

A file that was clean stays clean while nothing that clang-tidy reads has changed, so results are kept by content: first
by what is quick to know (the file, all headers of the project, the installed packages), then, of the neighbours that
are not known by that, by their preprocessed source.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

# Which build compiles what; the first that has the file counts.
BUILDS = ("build/commands", "build/arm64")
TOGETHER = 40  # sources at most
ENTRY_POINTS = ("main", "LLVMFuzzerTestOneInput")
GCC_ONLY = re.compile(r"-fsanitize=.*|-m(no-)?outline-atomics|-W(no-)?(error|restrict)|-fno-tree-.*")


def digest(*parts):
    state = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


def read(path):
    return pathlib.Path(path).read_bytes()


class Tidy:
    def __init__(self, top, cache):
        self.top, self.cache = pathlib.Path(top), pathlib.Path(cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self.commands = self.compile_commands()
        tracked = self.git("*.h", "*.cc", "*.clang-tidy", ".clang-tidy")
        self.sources = [name for name in tracked if name.endswith(".cc")]
        self.settings = digest(*(read(self.top / name) for name in tracked
                                 if name.endswith(".clang-tidy")),
                               subprocess.check_output(["clang-tidy", "--version"]),
                               read(__file__))
        headers = (name for name in tracked if name.endswith(".h"))
        self.quick = digest(self.settings, read("/var/lib/dpkg/status"),
                            *(name + digest(read(self.top / name)) for name in headers))

    def git(self, *patterns):
        names = subprocess.check_output(["git", "-C", self.top, "ls-files", "-z", "--", *patterns])
        return [name for name in names.decode().split("\0")
                if name and (self.top / name).is_file()]

    def compile_commands(self):
        """{source: (folder, arguments)} of the builds' compilers."""
        commands = {}
        for build in BUILDS:
            for entry in json.loads(read(self.top / build / "compile_commands.json")):
                folder = pathlib.Path(entry["directory"])
                source = os.path.relpath((folder / entry["file"]).resolve(), self.top)
                words = shlex.split(entry["command"])
                if words[0].endswith("ccache"):
                    words = words[1:]
                commands.setdefault(source, (folder, words))
        # Compiled by the system tests and the benchmark themselves.
        for name in self.git("tests/system/*.cc", "bench/*.cc"):
            commands.setdefault(name, (self.top, ["aarch64-linux-gnu-g++", "-std=c++20", "-c",
                                                  name]))
        return commands

    def arguments(self, words):
        """The compiler's options as clang takes them, the source last."""
        target = re.match(r"(.*/)?(aarch64-linux-gnu)-g\+\+$", words[0])
        kept, skip = [f"--target={target[2]}"] if target else [], False
        for word in words[1:]:
            if skip or word in ("-c", "-MD") or GCC_ONLY.fullmatch(word):
                skip = False
            elif word in ("-o", "-MQ", "-MF"):
                skip = True
            else:
                kept.append(word)
        return [*kept[:-1], "-Wno-unknown-warning-option", "-Wno-unused-command-line-argument"]

    def preprocessed(self, folder, words, file):
        """What the compiler sees of a file, with comments, as they can silence a finding."""
        options = [word for word in words[1:-1] if word not in ("-c", "-MD")]
        for option in ("-o", "-MQ", "-MF"):
            if option in options:
                at = options.index(option)
                del options[at:at + 2]
        # Without the names of folders and files, so that another checkout knows the result too.
        return subprocess.run([words[0], *options, "-E", "-P", "-C", "-dD", file], cwd=folder,
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def quick_key(self, source):
        """Where the cache says that a source is clean, by what is quick to know."""
        return self.cache / digest(self.quick, source, read(self.top / source),
                                   self.commands[source][1])

    def exact_key(self, sources):
        """Where it says so of sources that are compiled alike, by what clang-tidy reads of them."""
        folder, words = self.commands[sources[0]]
        with self.joined(sources) as file:
            return self.cache / digest(self.settings, *sources, *self.alike(sources[0]),
                                       self.preprocessed(folder, words, file.name))

    def findings(self, source, file, options=()):
        """What clang-tidy says of `file`, compiled as `source` is; nothing: clean."""
        folder, words = self.commands[source]
        run = subprocess.run(["clang-tidy", "--quiet", *options, file, "--",
                              *self.arguments(words)],
                             cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        return "" if run.returncode == 0 else run.stdout or f"exit status {run.returncode}"

    def included(self, number, source):
        """The lines that include a source, which may be a whole program, among others."""
        renamed = (f"#undef {name}\n#define {name} {name}_{number}  // NOLINT\n"
                   for name in ENTRY_POINTS)
        return "".join(renamed) + f'#include "{self.top / source}"  // NOLINT\n'

    @contextlib.contextmanager
    def joined(self, sources):
        """A file that includes the sources, which are compiled alike."""
        # clang-tidy takes its configuration from the folders above the file.
        folder = self.top / "build/tidy" / self.settings_folder(sources[0])
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".cc", dir=folder) as file:
            file.writelines(self.included(*numbered) for numbered in enumerate(sources))
            file.flush()
            yield file

    def findings_together(self, sources):
        """{source: findings} of sources that are compiled alike, in as few runs as they allow."""
        if len(sources) == 1:
            return {sources[0]: self.findings(sources[0], str(self.top / sources[0]))}
        with self.joined(sources) as file:
            project = rf"({re.escape(str(self.top))}/.*\.cc|(vmm|devices|arch)/.*\.h)$"
            text = self.findings(sources[0], file.name, [f"--header-filter={project}"])
        if "[clang-diagnostic-error]" in text:
            named = [source for source in sources
                     if re.search(rf"{re.escape(str(self.top / source))}:.*\[clang-diagnostic-error\]",
                                  text)]
            if named in ([], sources):
                named = sources[:len(sources) // 2]
            others = [source for source in sources if source not in named]
            return {**self.findings_together(named), **self.findings_together(others)}
        found = {source: text if f"{self.top / source}:" in text else "" for source in sources}
        if text and not any(found.values()):
            found[sources[0]] = text  # in a header
        return found

    def mirror_settings(self):
        """build/tidy has the .clang-tidy of each folder, the root's aside, which lies above it."""
        for name in self.git("*/.clang-tidy"):
            mirrored = self.top / "build/tidy" / name
            mirrored.parent.mkdir(parents=True, exist_ok=True)
            mirrored.unlink(missing_ok=True)
            mirrored.symlink_to(self.top / name)

    def check(self, sources):
        """[(source, findings, whether the cache knew)] of sources that are compiled alike."""
        keys = {source: self.quick_key(source) for source in sources}
        unknown = [source for source in sources if not keys[source].exists()]
        results = [(source, "", True) for source in sources if source not in unknown]
        if not unknown:
            return results
        try:
            exact = self.exact_key(unknown)
        except subprocess.CalledProcessError as error:
            return results + [(source, error.stderr.decode(), False) for source in unknown]
        known = exact.exists()
        found = dict.fromkeys(unknown, "") if known else self.findings_together(unknown)
        for source in unknown:
            if not found[source]:
                keys[source].touch()
        if not any(found.values()):
            exact.touch()
        return results + [(source, found[source], known) for source in unknown]

    def alike(self, source):
        """How a source is compiled, but for its target's own folder of generated headers, which is
        empty."""
        _, words = self.commands[source]
        return [word for word in self.arguments(words) if not re.fullmatch(r"-I\S*\.p", word)]

    def settings_folder(self, source):
        """The nearest folder above that has a .clang-tidy."""
        return next(folder for folder in pathlib.PurePath(source).parents
                    if (self.top / folder / ".clang-tidy").is_file())

    def neighbours(self):
        """The sources in lists of those that have the same settings and are compiled alike."""
        lists = collections.defaultdict(list)
        for source in self.sources:
            folder, _ = self.commands[source]
            lists[self.settings_folder(source), folder, *self.alike(source)].append(source)
        parts = (sources[at:at + TOGETHER] for sources in lists.values()
                 for at in range(0, len(sources), TOGETHER))
        return sorted(parts, key=len, reverse=True)


def main(top, cache, results_path):
    tidy = Tidy(top, cache)
    tidy.mirror_settings()
    failed = known = done = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, \
            open(results_path, "w", encoding="utf-8") as results:
        for source in [source for source in tidy.sources if source not in tidy.commands]:
            tidy.sources.remove(source)
            failed += 1
            results.write(f"fail {source}\n")
            print(f"  FAILED {source}: no build compiles it, so it cannot be checked")
        for future in concurrent.futures.as_completed(
                [pool.submit(tidy.check, sources) for sources in tidy.neighbours()]):
            for source, findings, cached in future.result():
                done += 1
                known += cached
                results.write(f"{'fail' if findings else 'pass'} {source}\n")
                if findings:
                    failed += 1
                    print(f"  FAILED {source}\n    | " + findings.strip().replace("\n", "\n    | "))
            if not cached:
                print(f"  {done} of {len(tidy.sources)} files checked", flush=True)
    print(f"  {done - failed} of {done} files clean, {known} of them known from before")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
