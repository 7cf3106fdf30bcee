# SPDX-License-Identifier: Apache-2.0
"""summary.py LABEL=BUILD_DIR... - adds up the last `meson test` of each build folder.

Prints what failed (with the end of its output) and what was skipped (with the reason that the
test gave), then `N passed, N failed, N skipped`. Exit status 1 if anything failed or nothing
ran. LABEL=!TEXT counts as one failure: a step that did not get as far as its tests.
"""
import json
import re
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
CMOCKA_SKIP = re.compile(r"^\[  SKIPPED \] (?!\d+ test\(s\))(\S+)", re.M)


def lines_of(test):
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    return [line for line in text.splitlines() if line.strip()]


def main():
    passed, failed, skipped = 0, [], []
    for argument in sys.argv[1:]:
        label, _, where = argument.partition("=")
        if where.startswith("!"):
            failed.append((label, where[1:], []))
            continue
        try:
            with open(where + "/meson-logs/testlog.json", encoding="utf-8") as f:
                tests = [json.loads(line) for line in f]
        except OSError:
            failed.append((label, "no test results in " + where, []))
            continue
        for test in tests:
            name = test["name"].split(" / ")[-1]
            if test["result"] in PASSED:
                passed += 1
                for inner in CMOCKA_SKIP.findall(test.get("stdout") or ""):
                    skipped.append((label, name + ": " + inner, "skipped within a passing test"))
            elif test["result"] == "SKIP":
                reason = lines_of(test)[-1:] or ["no reason given"]
                skipped.append((label, name, reason[0].strip()))
            else:
                failed.append((label, "%s (%s)" % (name, test["result"].lower()),
                               lines_of(test)[-25:]))
    for label, name, tail in failed:
        print("FAILED   %s: %s" % (label, name))
        for line in tail:
            print("         | " + line)
    for label, name, reason in skipped:
        print("skipped  %s: %s: %s" % (label, name, reason))
    print("%d passed, %d failed, %d skipped" % (passed, len(failed), len(skipped)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
