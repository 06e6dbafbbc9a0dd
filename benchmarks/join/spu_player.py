"""One player of the peer, SPU's RR22, as a process in an environment of its own.

What it does is less than what it stands beside: both players learn which rows matched, payloads never leave
their owners, and each writes its own matched rows, aligned with the other's.
"""

from spu import libspu, psi

from benchmarks.join.child import Child


def main() -> None:
    child = Child()
    order = child.hear()
    rank = int(order["rank"])
    desc = libspu.link.Desc()
    desc.recv_timeout_ms = 600_000
    for each, address in enumerate(order["addresses"]):
        desc.add_party(f"player-{each}", address)
    link = libspu.link.create_brpc(desc, rank)
    settings = psi.PsiExecuteConfig(
        protocol_conf=psi.PsiProtocolConfig(
            protocol=psi.PsiProtocol.PROTOCOL_RR22, receiver_rank=0, broadcast_result=True
        ),
        input_params=psi.InputParams(path=order["csv"], selected_keys=[order["key"]], keys_unique=True),
        output_params=psi.OutputParams(path=order["joined"]),
        join_conf=psi.ResultJoinConfig(type=psi.ResultJoinType.JOIN_TYPE_INNER_JOIN, left_side_rank=0),
    )
    child.await_start()
    with child.step("psi"):
        report = psi.psi_execute(settings, link)
    stats = link.get_stats() if hasattr(link, "get_stats") else None
    child.finish(matches=report.intersection_count, sent_bytes=getattr(stats, "sent_bytes", None))
    link.stop_link()


if __name__ == "__main__":
    main()
