"""The rows of the table of version 1 in docs/protocol.md, and the rules before it, with Python on both ends."""

import subprocess
import sys

import support
from support import DEADLINE, Plain, check, ended, expect, framed, in_background, raw, session
from relay_client import Disconnected, RawClient, SessionClient, retry

MALFORMED = (
    *(b"+5", b"-5", b" 5", b"5 ", b"", b"x", b"5x", b"0x5", b"5_0", b"5.0", b"\xb2", b"5\x00"),
    *(b"0" * 20 + b"1", b"18446744073709551616", b"99999999999999999999", b"9" * 10_000),
)


def a_name_is_registered_without_a_reply():
    with raw("device_a") as a, raw("device_b") as b:
        b.send("device_a", b"hello")
        expect(a, b"hello")
        a.send("device_b", b"ok")
        expect(b, b"ok")


def a_name_that_is_taken_disconnects_the_newcomer_at_once():
    with raw("device_a") as a, RawClient(*support.relay, "device_a") as late:
        assert "another client has the name 'device_a'" in str(ended(late)), ended(late)
        a.send("device_a", b"still here")
        expect(a, b"still here")


def a_name_that_is_not_complete_in_time_disconnects():
    with Plain() as silent, Plain(b"device_a") as half, Plain(b"|") as hello:
        silent.expect_end()
        half.expect_end()
        # That one speaks version 2 and is told.
        check(hello.expect_control().code, "timeout")


def a_silent_client_is_disconnected_and_the_keepalive_of_the_client_prevents_it():
    with raw("awake", keepalive=0.1) as awake:
        for _ in range(3):
            with raw("silent", keepalive=None) as silent:
                ended(silent)
        check(awake.wait_ended(0), None)
        awake.send("awake", b"here")
        expect(awake, b"here")


def any_split_into_segments_gives_the_same_result():
    wire = b"device_a|5|hellodevice_a|0|nobody|3|xyzdevice_a|7|a|1|\x00\xffzdevice_b|3|own"
    with raw("device_a") as a:
        for cut in range(1, len(wire)):
            with Plain.named(b"device_b") as b:
                b.send(wire[:cut])
                b.send(wire[cut:])
                b.expect(b"own")
                expect(a, b"helloa|1|\x00\xffz")
        with Plain.named(b"device_b") as b:
            for byte in wire:
                b.send(bytes([byte]))
            expect(a, b"helloa|1|\x00\xffz")


def many_frames_in_one_segment_give_the_same_result():
    with raw("device_a") as a, Plain.named(b"device_b") as b:
        b.send(b"".join(b"device_a|%d|%d" % (len(str(n)), n) for n in range(5000)))
        expect(a, b"".join(b"%d" % n for n in range(5000)))


def a_destination_that_is_not_registered_takes_the_payload_and_the_sender_stays():
    with raw("device_a") as a, raw("device_b") as b:
        for size in (0, 1, 100, 300_000):
            b.send("nobody", b"device_a|4|lost" * size)
        b.send("device_a", b"kept")
        expect(a, b"kept")


def the_empty_destination_is_one_that_is_not_registered():
    with raw("device_a") as a, Plain.named(b"device_b") as b:
        b.send(b"|4|lost|0|device_a|4|kept")
        expect(a, b"kept")


def a_message_to_oneself_is_delivered():
    with raw("device_a") as a:
        a.send("device_a", b"self")
        expect(a, b"self")


def a_message_of_length_0_to_oneself_delivers_nothing():
    with raw("device_a") as a, session("device_b") as b:
        a.send("device_a", b"")
        b.send("device_b", b"")
        a.send("device_a", b"next")
        b.send("device_b", b"next")
        expect(a, b"next")
        expect(b, ("device_b", b"next"))


def a_message_of_length_0_to_another_delivers_nothing_in_raw_delivery():
    with raw("device_a") as a, raw("device_b") as b:
        b.send("device_a", b"")
        b.send("device_a", b"next")
        expect(a, b"next")


def framed_delivery_names_the_sender():
    with framed("device_a") as a, framed("device_b") as b:
        b.send("device_a", b"hello")
        b.send("device_a", b"b|1|x")
        b.send("device_a", b"")
        for payload in (b"hello", b"b|1|x", b""):
            expect(a, ("device_b", payload))
        a.send("device_a", b"")
        a.send("device_a", b"self")
        expect(a, ("device_a", b"self"))


def a_malformed_length_disconnects_its_sender_only():
    with raw("device_a") as a:
        for length in MALFORMED:
            with Plain.named(b"device_b") as b:
                b.send(b"device_a|5|hello" + b"device_a|" + length + b"|device_a|4|lost")
                b.expect_end()
            expect(a, b"hello")
        with raw("device_b") as b:
            b.send("device_a", b"next")
        expect(a, b"next")


def an_overlong_header_disconnects_its_sender_only():
    with raw("device_a") as a:
        for header in (b"n" * 256, b"n" * 1_000_000, b"n" * 256 + b"|1|x"):
            with Plain.named(b"device_b") as b:
                try:
                    b.send(b"device_a|5|hello" + header)
                    b.expect_end()
                except ConnectionError:
                    pass  # The end came while sending.
            expect(a, b"hello")
        with Plain(b"n" * 256) as nameless:
            nameless.expect_end()
        a.send("n" * 255, b"longest")
        a.send("device_a", b"next")
        expect(a, b"next")


def messages_of_several_senders_are_whole_and_those_of_one_in_order():
    senders, count = "pqrs", 90

    def flood(letter):
        with raw(letter) as sender:
            for number in range(count):
                # From a few bytes to more than is passed on in one piece.
                size = 10 if number % 3 else 100_000
                sender.send("device_a", b"%b%05d:%b." % (letter.encode(), number, letter.encode() * size))

    with raw("device_a") as a:
        floods = [in_background(lambda letter=letter: flood(letter)) for letter in senders]
        stream = b""
        seen = dict.fromkeys(senders, 0)
        while sum(seen.values()) < count * len(senders):
            stream += a.recv(DEADLINE)
            *messages, stream = stream.split(b".")
            for message in messages:
                letter, number = chr(message[0]), seen[chr(message[0])]
                size = 10 if number % 3 else 100_000
                check(message, b"%b%05d:%b" % (letter.encode(), number, letter.encode() * size))
                seen[letter] += 1
        for join in floods:
            join()


def a_sender_that_goes_away_inside_a_message_leaves_what_came_in_raw_delivery():
    with raw("device_a") as a:
        for sent in (b"half", b"h" * 70_000):
            with Plain.named(b"device_b") as b:
                b.send(b"device_a|100000|" + sent)
            expect(a, sent)
        with raw("device_b") as b:
            b.send("device_a", b"whole")
        expect(a, b"whole")


def a_message_that_was_not_finished_is_never_seen_in_framed_delivery():
    with framed("device_a") as a:
        with Plain(b"device_b|") as b:
            b.send(b"device_a|5|hellodevice_a|100000|half")
            expect(a, ("device_b", b"hello"))
        with framed("device_c") as c:
            c.send("device_a", b"whole")
            expect(a, ("device_c", b"whole"))


def a_large_raw_message_passes_whole_and_others_wait_for_its_end():
    block = bytes(range(256)) * 4096
    with raw("device_a") as a, Plain.named(b"device_b") as b, raw("device_c") as c:
        b.send(b"device_a|%d|" % (8 * len(block)) + block)
        expect(a, block)
        c.send("device_a", b"after")
        # While another client comes and is served, the relay has seen what c sent.
        with raw("device_d"):
            pass
        rest = in_background(lambda: [b.send(block) for _ in range(7)])
        expect(a, block * 7 + b"after")
        rest()


def a_sender_that_makes_others_wait_and_is_too_slow_is_disconnected():
    with raw("device_a") as a, Plain.named(b"device_b") as b, raw("device_c") as c:
        b.send(b"device_a|1000000|begun")
        expect(a, b"begun")
        c.send("device_a", b"after")
        b.expect_end()
        expect(a, b"after")


def a_message_over_the_limit_of_framed_delivery_disconnects_a_version_1_sender():
    with framed("device_a") as a, framed("device_b") as b:
        b.send("device_a", bytes(1000))
        expect(a, ("device_b", bytes(1000)))
        b.send("device_a", bytes(1001))
        assert isinstance(ended(b), Disconnected)
    with framed("device_a") as a, framed("device_c") as c:
        # To nobody any size is right.
        c.send("nobody", bytes(2000))
        c.send("device_a", b"next")
        expect(a, ("device_c", b"next"))


def a_recipient_that_reads_slowly_pauses_its_senders_and_nobody_else():
    block, count = bytes(range(256)) * 4096, 64
    with raw("slow") as slow, raw("sender") as sender, raw("device_a") as a, raw("device_b") as b:
        flood = in_background(lambda: [sender.send("slow", block) for _ in range(count)])
        for number in range(200):
            b.send("device_a", b"%05d" % number)
            expect(a, b"%05d" % number)
            a.send("device_b", b"back")
            expect(b, b"back")
        # More than all buffers on the way can hold.
        assert flood.is_running(), "the sender was not paused"
        for _ in range(count):
            expect(slow, block)
        flood()


def a_recipient_that_accepts_nothing_is_disconnected_and_its_senders_go_on():
    block = bytes(1 << 20)
    with raw("stuck", keepalive=None) as stuck, raw("sender") as sender, raw("device_a") as a:
        for _ in range(64):
            sender.send("stuck", block)
        sender.send("device_a", b"free")
        expect(a, b"free")
        # The name is free again, although the old holder has still not read.
        with raw("stuck"):
            pass
        with_rest = 0
        try:
            while True:
                with_rest += len(stuck.recv(DEADLINE))
        except Disconnected:
            assert 0 < with_rest < 64 * len(block), with_rest


def a_client_that_finishes_sending_is_unregistered_after_its_queue_was_written():
    payload = bytes(range(256)) * 4096
    with Plain.named(b"device_a") as a, session("device_b") as b:
        b.send("device_a", payload)
        b.sync(DEADLINE)
        a.send(b"device_b|4|last")
        a.finish()
        a.expect(payload)
        a.expect_end()
        expect(b, ("device_a", b"last"))
        b.send("device_a", b"late")
        check(b.sync(DEADLINE), {"device_a": 1})


def the_name_of_a_client_that_closed_is_free_at_once():
    for _ in range(50):
        with session("device_a"):
            pass
        with raw("device_a"):
            pass


def the_name_of_a_client_that_was_killed_is_free_at_once():
    program = f"""
import relay_client
client = relay_client.SessionClient("{support.relay[0]}", {support.relay[1]}, "device_a")
while True:
    client.recv()
"""
    for _ in range(3):
        with session("watcher") as watcher, subprocess.Popen(
            [sys.executable, "-c", program], cwd=support.CLIENTS
        ) as holder:
            watcher.send("device_a", b"")
            while watcher.sync(DEADLINE):
                watcher.send("device_a", b"")
            holder.kill()
        # The system tells the relay in its own time, which is not measured in seconds.
        with retry(lambda: SessionClient(*support.relay, "device_a"), patience=DEADLINE, pause=0.02, pause_max=0.02):
            pass


def names_are_any_bytes():
    name = bytes(byte for byte in range(256) if byte != ord("|"))
    with raw(name) as a, session("device_b") as b:
        a.send("device_b", b"hello")
        message = b.recv(DEADLINE)
        check(message.sender.encode("utf-8", "surrogateescape"), name)
        b.send(message.sender, b"back")
        expect(a, b"back")
