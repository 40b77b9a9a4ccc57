"""All cases against some servers, many sessions at a time."""

import concurrent.futures

import script


def variants(case):
    if case.once:
        return ("",)
    return ("", "cut", "tls") if case.role in script.ROLE_IN_TLS else ("", "cut")


def play(case, server, sink, how):
    return script.Player(case, server, sink, how).play()


def play_all(cases, made, sink, plain=False):
    """-> {case id: {server name: {"": [...], "cut": [...], "tls": [...]}}}"""
    results = {case.id: {server.name: {} for server in made} for case in cases}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        jobs = {pool.submit(play, case, server, sink, how): (case.id, server.name, how)
                for case in cases for server in made for how in (("",) if plain else variants(case))}
        for done in concurrent.futures.as_completed(jobs):
            case_id, name, how = jobs[done]
            results[case_id][name][how] = done.result()
    return results
