"""The version 2 part of docs/protocol.md, with Python on both ends."""

import json
import re
import subprocess
import sys
import os

import support
from support import DEADLINE, Plain, check, ended, expect, in_background, raw, session
from relay_client import Disconnected, ErrorReply, SessionClient, TokenNeeded, TooLarge, retry
from relay_wire import CONTROL_BYTES_MAX, Pong, Undeliverable, Welcome, encode_frame


def _control(value):
    return encode_frame(b"", json.dumps(value).encode())


def _refused(code, call):
    try:
        call()
    except ErrorReply as error:
        check(error.code, code)
        return error
    raise AssertionError(f"there was no error {code}")


def _hello(name):
    """A session on a plain socket, for frames that the client does not send."""
    plain = Plain(_control({"hello": 2, "register": name}))
    assert isinstance(plain.expect_control(), Welcome)
    return plain


def a_hello_is_answered_with_the_limits_of_the_relay():
    with session("device_a") as a:
        check(a.max_message, 2000)
    with Plain(_control({"hello": 2, "register": "device_b", "colour": ["red"]})) as b:
        check(b.expect_control(), Welcome(2000, 7.5))


def a_token_is_proved_and_a_wrong_one_refused():
    # The relay of this case has this token.
    with session("device_a", token="a-token-of-sixteen-characters") as a:
        a.send("device_a", b"self")
        expect(a, ("device_a", b"self"))
        os.environ["RELAY_TOKEN"] = "another-token-of-many-characters"
        error = _refused("unauthorized", lambda: session("device_b"))
        assert error.fatal
        os.environ.pop("RELAY_TOKEN")
        try:
            session("device_b")
        except TokenNeeded:
            pass
        else:
            raise AssertionError("a session without a token")
        reason = ended(support.relay_client.RawClient(*support.relay, "device_b", timeout=DEADLINE))
        assert "use version 2 if the relay asks for a token" in str(reason), reason


def messages_have_their_senders_whatever_version_they_speak():
    with session("device_a") as a, session("device_b") as b, raw("device_c") as c:
        b.send("device_a", b"hello")
        expect(a, ("device_b", b"hello"))
        c.send("device_a", b"from version 1")
        expect(a, ("device_c", b"from version 1"))
        a.send("device_c", b"to version 1")
        expect(c, b"to version 1")
        b.send("device_a", b"")
        expect(a, ("device_b", b""))
        a.send("device_a", b"self")
        expect(a, ("device_a", b"self"))


def names_are_any_text():
    for name in ("größe", "日本", '"\\\n\x00\x1b', "😀" * 63, "n" * 255):
        with session(name) as a, session("device_b") as b:
            b.send(name, b"hello")
            expect(a, ("device_b", b"hello"))
            a.send("device_b", b"hello")
            expect(b, (name, b"hello"))


def a_pong_follows_what_the_messages_before_its_ping_led_to():
    with session("device_a") as a, session("device_b") as b:
        for number in range(200):
            a.send("device_b", b"%d" % number)
            for _ in range(number % 3):
                a.send("nobody", b"lost" * 100_000)
            a.send(b"\xff\x00", b"lost")
            a.send("device_a", b"self")
            wanted = {"\udcff\x00": 1, "nobody": number % 3}
            check(a.sync(DEADLINE), {name: count for name, count in wanted.items() if count})
            check(a.recv(0), ("device_a", b"self"))
        for number in range(200):
            expect(b, ("device_a", b"%d" % number))


def notices_of_what_nobody_received_add_up():
    with session("device_a") as a:
        for number in range(5000):
            a.send("x" if number % 5 else "y", b"lost")
        check(a.sync(DEADLINE), {"x": 4000, "y": 1000})
        check(a.sync(DEADLINE), {})


def a_ping_has_any_unsigned_64_bit_number():
    with _hello("device_a") as a:
        for number in (0, 7, 2**64 - 1):
            a.send(_control({"ping": number}))
            check(a.expect_control(), Pong(number))


def notices_keep_their_place_in_the_order():
    with _hello("device_a") as a:
        a.send(b"x|1|1" + _control({"ping": 1}) + b"x|1|1y|0|x|1|1" + _control({"ping": 2}))
        check(a.expect_control(), Undeliverable("x", 1))
        check(a.expect_control(), Pong(1))
        notices = {a.expect_control(), a.expect_control()}
        check(notices, {Undeliverable("x", 2), Undeliverable("y", 1)})
        check(a.expect_control(), Pong(2))


def a_name_that_is_taken_is_refused_with_name_taken():
    with session("device_a") as a, raw("device_b") as b:
        for name in ("device_a", "device_b"):
            assert _refused("name_taken", lambda name=name: session(name)).fatal
        a.send("device_b", b"still here")
        expect(b, b"still here")


def a_bad_name_is_refused_with_bad_name():
    for name in ("", "n" * 256, "a|b", "ö" * 128):
        with Plain(_control({"hello": 2, "register": name})) as refused:
            check(refused.expect_control().code, "bad_name")
            refused.expect_end()


def a_bad_hello_is_refused_with_bad_hello():
    for hello in ({"hello": 3, "register": "a"}, {"hello": 2}, {"hello": "2", "register": "a"}, {"ping": 1}, {}):
        with Plain(_control(hello)) as refused:
            check(refused.expect_control().code, "bad_hello")
            refused.expect_end()


def a_bad_frame_instead_of_a_hello_is_refused_with_bad_frame():
    for frame in (b"|x|", b"|+5|", b"||", b"|18446744073709551616|", b"|5|{bad}", b"|16385|", b"|0|"):
        with Plain(frame) as refused:
            check(refused.expect_control().code, "bad_frame")
            refused.expect_end()


def a_bad_frame_in_the_session_ends_it_with_bad_frame():
    with session("device_a") as a:
        for frame in (b"x|y|", b"n" * 256, b"|5|{bad}", b"|2|[]", b"|%d|" % (CONTROL_BYTES_MAX + 1), b"|0|"):
            with _hello("device_b") as b:
                b.send(b"device_a|5|hello" + frame)
                check(b.expect_control().code, "bad_frame")
                b.expect_end()
            expect(a, ("device_b", b"hello"))


def a_hello_that_is_not_complete_in_time_is_refused_with_timeout():
    with Plain(b'|33|{"hello":2,') as late:
        check(late.expect_control().code, "timeout")
        late.expect_end()


def a_silent_session_ends_with_timeout_and_the_pings_of_the_client_prevent_it():
    with session("awake") as awake:
        for _ in range(2):
            with session("silent", keepalive=None) as silent:
                check(ended(silent).code, "timeout")
        check(awake.wait_ended(0), None)
        check(awake.sync(DEADLINE), {})


def a_message_over_max_message_is_refused_and_the_session_goes_on():
    with session("device_a") as a, session("device_b") as b, raw("device_c") as c:
        try:
            b.send("device_a", bytes(2001))
            raise AssertionError("the client sent it")
        except TooLarge:
            pass
        # As a client would that does not know the limit.
        b._max_message = None
        for dest in ("device_a", "device_c"):
            b.send(dest, bytes(2001))
            assert not _refused("too_large", lambda: b.sync(DEADLINE)).fatal
            check(b.sync(DEADLINE), {})
        for dest in ("device_a", "device_c"):
            b.send(dest, bytes(2000))
        expect(a, ("device_b", bytes(2000)))
        expect(c, bytes(2000))


def an_unknown_verb_is_an_error_and_the_session_goes_on():
    with _hello("device_a") as a:
        for verb in ({"dance": {"x": [1]}}, {"pong": 1}, {}):
            a.send(_control(verb) + _control({"ping": 1}))
            error = a.expect_control()
            check((error.code, error.fatal), ("unknown_verb", False))
            check(a.expect_control(), Pong(1))


def a_session_that_makes_others_wait_and_is_too_slow_ends_with_too_slow():
    with raw("device_a") as a, _hello("device_b") as b, session("device_c") as c:
        b.send(b"device_a|1000000|begun")
        expect(a, b"begun")
        c.send("device_a", b"after")
        check(b.expect_control().code, "too_slow")
        b.expect_end()
        expect(a, b"after")


def a_session_that_receives_nothing_is_disconnected_and_its_senders_go_on():
    block = bytes(1 << 20)
    with session("stuck", keepalive=None) as stuck, session("sender") as sender:
        for _ in range(64):
            sender.send("stuck", block)
        assert sender.sync(DEADLINE)["stuck"] < 64
        with session("stuck"):
            pass
        received = 0
        try:
            while True:
                received += len(stuck.recv(DEADLINE).payload)
        except Disconnected:
            assert 0 < received < 64 * len(block), received


def a_session_that_is_held_back_by_a_slow_recipient_is_not_given_up():
    block = bytes(range(256)) * 4096
    with raw("slow") as slow, session("sender", keepalive=0.1, pong_timeout=DEADLINE) as sender:
        flood = in_background(lambda: [sender.send("slow", block) for _ in range(64)])
        with session("device_a") as a, session("device_b") as b:
            for number in range(200):
                b.send("device_a", b"%d" % number)
                expect(a, ("device_b", b"%d" % number))
        assert flood.is_running(), "the sender was not paused"
        for _ in range(64):
            expect(slow, block)
        flood()
        check(sender.sync(DEADLINE), {})


def a_relay_that_stops_says_when_to_return():
    with session("device_a") as a, session("device_b") as b:
        b.send("device_a", b"before")
        b.sync(DEADLINE)
        print("ready", flush=True)
        reason = ended(a)
        check((type(reason), reason.retry_after), (Disconnected, 1.0))
        expect(a, ("device_b", b"before"))


def a_relay_that_no_longer_answers_is_given_up():
    with session("device_a", keepalive=0.1, pong_timeout=1.0) as a:
        print("ready", flush=True)
        assert "Nothing came from the relay" in str(ended(a)), ended(a)


def a_client_returns_to_a_relay_that_was_restarted():
    with session("device_a") as a:
        print("ready", flush=True)
        ended(a)
    print("lost", flush=True)
    with retry(lambda: SessionClient(*support.relay, "device_a"), patience=DEADLINE, pause=0.05, pause_max=0.05) as a:
        a.send("device_a", b"again")
        expect(a, ("device_a", b"again"))


def the_programs_of_the_readme_work():
    with open(os.path.join(support.CLIENTS, "README.md"), encoding="utf-8") as readme:
        echo, clock = re.findall(r"^```python\n(.*?)^```$", readme.read(), re.DOTALL | re.MULTILINE)
    here = f'"{support.relay[0]}", {support.relay[1]}'
    echo = echo.replace('"relay.example.org", 8080', here)
    clock = clock.replace('"127.0.0.1", 8080', here)
    assert here in echo and here in clock
    with subprocess.Popen([sys.executable, "-u", "-c", echo], cwd=support.CLIENTS, stdout=subprocess.PIPE) as program:
        try:
            with session("device_a") as a:
                a.send("echo", b"hello")
                # It takes a moment until the program is there.
                while a.sync(DEADLINE):
                    a.send("echo", b"hello")
                expect(a, ("echo", b"hello"))
            # It goes on when somebody to answer is gone.
            with session("device_b") as b:
                b.send("echo", b"unanswered")
            with session("device_a") as a:
                a.send("echo", b"again")
                expect(a, ("echo", b"again"))
        finally:
            program.kill()
    with session("clock") as relay:
        with subprocess.Popen([sys.executable, "-c", clock], cwd=support.CLIENTS, stdout=subprocess.PIPE) as program:
            expect(relay, ("device_a", b"what time is it?"))
            relay.send("device_a", b"noon")
            check(program.stdout.read().split(), [b"noon"])
