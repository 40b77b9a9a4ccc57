"""The table of docs/conformance.md, and what is wrong with it."""

import re

NAMES = {"1870": "SIZE", "2034": "enhanced codes", "2852": "DELIVERBY", "2920": "PIPELINING", "3030": "CHUNKING and BINARYMIME", "3207": "STARTTLS",
         "3461": "DSN", "3463": "the enhanced codes themselves", "3848": "with-keywords in Received", "4422": "EXTERNAL", "4616": "PLAIN",
         "4865": "FUTURERELEASE", "4954": "AUTH", "5248": "the register of enhanced codes", "5321": "SMTP", "5322": "the message", "5802": "SCRAM",
         "6152": "8BITMIME", "6409": "submission, which this is not", "6531": "SMTPUTF8", "6533": "reports of SMTPUTF8", "6710": "MT-PRIORITY",
         "7504": "521 and 556", "7628": "OAUTHBEARER", "7677": "SCRAM-SHA-256", "8314": "TLS from the first octet", "8689": "REQUIRETLS", "9422": "LIMITS",
         "PROXY": "versions 1 and 2", "XCLIENT": "", "XFORWARD": "", "XOAUTH2": ""}
TITLES = {"postfix": "Postfix", "exim": "Exim"}
HOW = {"cut": "cut into octets", "tls": "in TLS"}


def codes(answers):
    """What is compared between servers: the reply codes, not the enhanced ones."""
    return [a.split(" ")[0] if a[:1].isdigit() else a for a in answers]


def has_setting(answers):
    return bool(answers) and not answers[0].startswith(("no setting", "not offered"))


def others(results):
    return [seen[""] for name, seen in results.items() if name != "ours" and has_setting(seen[""])]


def differs_from_all(case, results):
    """Ours from every peer that has a setting for the case (and there are such)."""
    ours = codes(results["ours"][""])
    return bool(others(results)) and all(ours != codes(other) for other in others(results))


def is_alone_right(case, results):
    """Ours is what the document asks for, no peer's answer is: that needs no words."""
    from script import verdict
    return verdict(case, results["ours"][""]) and not any(verdict(case, other) for other in others(results))


def complaints_of(case, results):
    from script import verdict
    if "ours" not in results:
        return
    seen = results["ours"]
    if seen[""] != case.ours:
        yield f"says {', '.join(seen[''])}; expected is {', '.join(case.ours) or 'not written down'}"
    for how, answers in seen.items():
        if answers != seen[""]:
            yield f"says {', '.join(answers)} {HOW[how]}, and {', '.join(seen[''])} otherwise"
    if not case.note:
        if not verdict(case, seen[""]):
            yield f"says {', '.join(seen[''])}; right is {case.level} {', '.join(case.right)}, and no note says why"
        elif differs_from_all(case, results) and not is_alone_right(case, results):
            yield f"says {', '.join(seen[''])}, unlike the peers, and no note says why"


def complaints(cases, results):
    return [f"{case.place}: {case.id}: {what}" for case in cases for what in complaints_of(case, results[case.id])]


# ---------------------------------------------------------------- the page

HEAD = """\
<!-- Made by `python3 test/conformance/run --write docs/conformance.md`; test/peer/conformance_test compares the two. -->
# Conformance

What our server, Postfix and Exim answer to the same scripts ({versions}): {count} cases for the commands, parameters and
extensions that a relay's receiving side has to know, from `test/conformance/cases`. All three are configured for the same roles and with
every option that makes them offer an extension (`test/conformance/servers.py`); Postfix and Exim are those of Debian 12.

- An entry is what was said to the commands that a case judges, with the enhanced code if there was one. `yes` and `no` are about
  keywords in the answer to EHLO and about what arrived at the next hop. *-* : that server has no setting for the case, mostly because it does
  not have the extension.
- *must*, *should*, *may* is what the document asks for. ✗ marks an answer that is not that. The peers are liberal by intent in many such
  places, and have settings that make them stricter.
- Each case is also played with every octet in a segment of its own, and, if it concerns a plain port, inside TLS. Our server says the
  same each time, or the test fails.
- The form of every answer is looked at too, whatever the case is about: line ends, length, octets, the same code on all lines, and an
  enhanced code of the right class on each line where one belongs, on none where it does not.
- A note says why ours differs from both peers, or from the document. There is no such difference without a note.

| | cases | as the document asks | not | no setting |
|---|---|---|---|---|
{summary}
"""


def cell(text):
    """Nothing in it is Markdown."""
    return re.sub(r"([|<*_])", r"\\\1", text)


def answers_cell(case, seen):
    from script import verdict
    if seen is None:
        return ""
    answers = seen[""]
    if not has_setting(answers):
        return "-"
    return cell(", ".join(answers)) + ("" if verdict(case, answers) else " ✗")


def note_cell(case, results):
    notes = [case.note] if case.note else []
    if not notes and "ours" in results and differs_from_all(case, results) and is_alone_right(case, results):
        notes.append("ours alone does as the document says")
    notes += [f"{TITLES[name]}: {why}" for name, why in case.peers.items()]
    return cell("; ".join(notes))


def summary_row(title, name, cases, results):
    from script import verdict
    seen = [(case, results[case.id][name][""]) for case in cases]
    with_setting = [(case, answers) for case, answers in seen if has_setting(answers)]
    right = sum(verdict(case, answers) for case, answers in with_setting)
    return f"| {title} | {len(seen)} | {right} | {len(with_setting) - right} | {len(seen) - len(with_setting)} |"


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def heading(rfc):
    return ("RFC " if rfc.isdigit() else "") + rfc + (f": {NAMES[rfc]}" if NAMES[rfc] else "")


def page(cases, results, versions):
    titles = {"ours": "postrider", **TITLES}
    names = [name for name in titles if name in versions]
    out = [HEAD.format(versions=", ".join(f"{titles[n]} {versions[n]}" for n in names), count=len(cases),
                       summary="\n".join(summary_row(f"{titles[n]} {versions[n]}", n, cases, results) for n in names))]
    for rfc in sorted({case.rfc for case in cases}, key=natural):
        out.append(f"\n## {heading(rfc)}\n\n| § | case | right | " + " | ".join(titles[n] for n in names) +
                   " | note |\n|---|---|---|" + "---|" * len(names) + "---|\n")
        for case in sorted((c for c in cases if c.rfc == rfc), key=lambda c: natural(c.section)):
            row = [case.section, f"{cell(case.title)} (`{case.id}`)", f"{case.level} {cell(', '.join(case.right))}"]
            row += [answers_cell(case, results[case.id].get(name)) for name in names]
            out.append("| " + " | ".join([*row, note_cell(case, results[case.id])]) + " |\n")
    return "".join(out)
