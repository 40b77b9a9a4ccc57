"""All cases against some servers, many sessions at a time."""

import concurrent.futures

import script


def variants(case):
    if case.once:
        return ("",)
    return ("", "cut", "tls") if case.role in script.ROLE_IN_TLS else ("", "cut")


def play(case, server, sink, how):
    player = script.Player(case, server, sink, how)
    return player.play(), player.replies, player.faults


def play_all(cases, made, sink, plain=False):
    """-> {case id: {server name: {"": [...], "cut": [...], "tls": [...]}}}; each server gets `replies`, how many answers were looked
    at, and `faults`, what is wrong with their form."""
    for server in made:
        server.replies, server.faults = 0, []
    by_name = {server.name: server for server in made}
    results = {case.id: {server.name: {} for server in made} for case in cases}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        jobs = {pool.submit(play, case, server, sink, how): (case.id, server.name, how)
                for case in cases for server in made for how in (("",) if plain else variants(case))}
        for done in concurrent.futures.as_completed(jobs):
            case_id, name, how = jobs[done]
            results[case_id][name][how], replies, faults = done.result()
            by_name[name].replies += replies
            by_name[name].faults += faults
    return results
