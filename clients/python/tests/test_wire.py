"""The protocol without a socket: any split of the bytes gives the same frames and the same errors."""

import tracemalloc
import unittest

import fake_relay  # noqa: F401 (lets the next line find its module)
import relay_wire
from relay_wire import Closing, ErrorReply, Frame, FrameDecoder, ProtocolError, Pong, Undeliverable, Welcome
from relay_wire import decode_control, decode_name, encode_frame, encode_hello, encode_name, printable

FRAMES = [
    Frame(b"device_b", b"hello"),
    Frame(b"a", b""),
    Frame(b"", b'{"pong":7}'),
    Frame(b"\xff\x00 \n", b"a|5|within"),
    Frame(b"n" * 255, b"||\x00\xff|1|"),
    Frame("größe".encode(), "größe".encode()),
]
STREAM = b"".join(encode_frame(*frame) for frame in FRAMES) + b"zeros|00000000000000000003|end"
DECODED = [*FRAMES, Frame(b"zeros", b"end")]

MALFORMED = {
    b"a|+5|": "0x2b",
    b"a|-5|": "0x2d",
    b"a| 5|": "0x20",
    b"a|5 |": "0x20",
    b"a|5x|": "0x78",
    b"a|0x5|": "0x78",
    b"a|5\x00|": "0x00",
    b"a|5_0|": "0x5f",
    b"a|\xb2|": "0xb2",
    b"a|\xd9\xa3|": "0xd9",
    b"a||": "without digits",
    b"||": "without digits",
    b"a|000000000000000000001|": "more than 20 digits",
    b"a|" + b"1" * 10_000 + b"|": "more than 20 digits",
    b"a|" + b"2" * 10_000 + b"|": "64 bits",
    b"a|" + b"0" * 10_000 + b"|": "more than 20 digits",
    b"a|18446744073709551616|": "64 bits",
    b"a|99999999999999999999x|": "64 bits",
    b"n" * 256 + b"|1|": "255 bytes",
    b"n" * 100_000: "255 bytes",
    b"a|1001|": "1000 are the most",
}


def decode(pieces, payload_bytes_max=1000):
    """The frames of the pieces, and the text of the error that ended them."""
    decoder = FrameDecoder(payload_bytes_max)
    frames = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            frame = decoder.next_frame()
            while frame is not None:
                frames.append(frame)
                frame = decoder.next_frame()
    except ProtocolError as error:
        return frames, str(error)
    return frames, decoder.is_inside_frame


class Splits(unittest.TestCase):
    def test_one_piece(self):
        self.assertEqual(decode([STREAM]), (DECODED, False))

    def test_single_bytes(self):
        self.assertEqual(decode(bytes([byte]) for byte in STREAM), (DECODED, False))

    def test_every_two_pieces(self):
        for cut in range(len(STREAM) + 1):
            self.assertEqual(decode([STREAM[:cut], STREAM[cut:]]), (DECODED, False), cut)

    def test_every_three_pieces(self):
        stream, frames = STREAM[:60], decode([STREAM[:60]])
        for second in range(len(stream) + 1):
            for first in range(second + 1):
                pieces = [stream[:first], stream[first:second], stream[second:]]
                self.assertEqual(decode(pieces), frames, (first, second))

    def test_every_size_of_pieces(self):
        for size in range(1, 80):
            pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
            self.assertEqual(decode(pieces), (DECODED, False), size)

    def test_a_stream_that_stops_has_the_frames_before(self):
        ends = [0]
        for name, payload in DECODED[:-1]:
            ends.append(ends[-1] + len(encode_frame(name, payload)))
        ends.append(len(STREAM))
        for cut in range(len(STREAM) + 1):
            whole = sum(end <= cut for end in ends) - 1
            self.assertEqual(decode([STREAM[:cut]]), (DECODED[:whole], cut not in ends), cut)


class Malformed(unittest.TestCase):
    def test_each_is_an_error_that_says_what_is_wrong(self):
        for bad, part in MALFORMED.items():
            frames, error = decode([bad])
            self.assertEqual(frames, [], bad[:30])
            self.assertIn(part, str(error), bad[:30])

    def test_the_error_is_the_same_for_any_split_and_comes_after_the_frames_before_it(self):
        for bad in MALFORMED:
            stream = b"b|5|hello" + bad[:300]
            whole = decode([stream])
            self.assertEqual(whole[0], [Frame(b"b", b"hello")])
            self.assertIsInstance(whole[1], str)
            self.assertEqual(decode(bytes([byte]) for byte in stream), whole)
            for cut in range(len(stream)):
                self.assertEqual(decode([stream[:cut], stream[cut:]]), whole, (bad[:30], cut))

    def test_the_error_comes_with_the_first_byte_that_makes_it_certain(self):
        for good, byte in ((b"a|5", b"x"), (b"a|", b"|"), (b"a|" + b"0" * 20, b"0"), (b"n" * 255, b"n")):
            self.assertEqual(decode([good]), ([], True))
            self.assertIsInstance(decode([good, byte])[1], str)

    def test_nothing_is_understood_after_an_error(self):
        decoder = FrameDecoder()
        decoder.feed(b"a|x|")
        for more in (b"", b"b|5|hello"):
            decoder.feed(more)
            self.assertRaises(ProtocolError, decoder.next_frame)

    def test_an_announced_length_is_not_allocated(self):
        decoder = FrameDecoder(relay_wire.LENGTH_MAX)
        tracemalloc.start()
        try:
            for length in (b"4000000000", b"18446744073709551615"):
                decoder = FrameDecoder(relay_wire.LENGTH_MAX)
                decoder.feed(b"a|" + length + b"|x")
                self.assertIsNone(decoder.next_frame())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 100_000)

    def test_the_largest_length_that_is_allowed_is_taken(self):
        self.assertEqual(decode([b"a|1000|", b"x" * 1000]), ([Frame(b"a", b"x" * 1000)], False))


class Names(unittest.TestCase):
    def test_text_and_bytes(self):
        self.assertEqual(encode_name("größe"), "größe".encode())
        self.assertEqual(encode_name(b"\xff\x00"), b"\xff\x00")
        self.assertEqual(encode_name("n" * 255), b"n" * 255)

    def test_any_bytes_survive_being_text(self):
        every = bytes(byte for byte in range(256) if byte != ord("|"))
        self.assertEqual(encode_name(decode_name(every)), every)

    def test_what_is_no_name(self):
        for bad in ("", b"", "n" * 256, "ö" * 128, "a|b", b"|", "\ud800"):
            with self.assertRaises(ValueError) as raised:
                encode_name(bad)
            self.assertRegex(str(raised.exception), r"^[A-Z].*\.$")

    def test_lengths_count_bytes(self):
        self.assertEqual(encode_frame(b"b", "größe".encode()), b"b|7|gr\xc3\xb6\xc3\x9fe")

    def test_hello(self):
        self.assertEqual(encode_hello(b"device_a"), b'|33|{"hello":2,"register":"device_a"}')
        self.assertRaises(ValueError, encode_hello, b"\xff")
        frames, _ = decode([encode_hello('q"\\ö'.encode())])
        self.assertEqual(frames, [Frame(b"", b'{"hello":2,"register":"q\\"\\\\\\u00f6"}')])


class ControlFrames(unittest.TestCase):
    def test_each_verb(self):
        for json, control in (
            (b'{"hello":2,"registered":"a","max_message":1048576,"idle_ms":30000}', Welcome(1048576, 30.0)),
            (b'{"pong":18446744073709551615}', Pong(2**64 - 1)),
            (b'{"undeliverable":{"dest":"b\xc3\xb6b","count":3}}', Undeliverable("böb", 3)),
            (b'{"undeliverable":{"dest_hex":"ff00","count":1}}', Undeliverable("\udcff\x00", 1)),
            (b'{"closing":{"reason":"shutdown","retry_ms":1500}}', Closing("shutdown", 1.5)),
            (b'{"pong":1,"new":true}', Pong(1)),
            (b'{"dance":{"x":[1]}}', None),
            (b"{}", None),
        ):
            self.assertEqual(decode_control(json), control, json)

    def test_errors_have_a_code_and_a_sentence(self):
        error = decode_control(b'{"error":{"code":"name_taken","message":"the name a is taken"}}')
        self.assertIsInstance(error, ErrorReply)
        self.assertEqual((error.code, error.fatal), ("name_taken", True))
        self.assertEqual(str(error), "The relay reports name_taken: the name a is taken.")
        for code in ("too_large", "unknown_verb", "of_the_future"):
            self.assertFalse(decode_control(b'{"error":{"code":"%b","message":""}}' % code.encode()).fatal)

    def test_what_makes_no_sense_is_a_protocol_error(self):
        for bad in (
            *(b"", b"{", b"[]", b"7", b"null", b'"hello"', b"\xff", b'{"pong":7', b'{"pong":7}x', b"[" * 16000),
            *(b'{"pong":"7"}', b'{"pong":-1}', b'{"pong":1.5}', b'{"pong":NaN}', b'{"pong":null}'),
            b'{"pong":' + b"1" * 10_000 + b"}x",
            *(b'{"hello":2}', b'{"hello":2,"max_message":1}', b'{"hello":2,"max_message":1,"idle_ms":"1"}'),
            *(b'{"undeliverable":7}', b'{"undeliverable":{}}', b'{"undeliverable":{"dest":7,"count":1}}'),
            *(b'{"undeliverable":{"dest":"b"}}', b'{"undeliverable":{"dest_hex":"f","count":1}}'),
            *(b'{"undeliverable":{"dest_hex":"xx","count":1}}', b'{"undeliverable":{"dest_hex":7,"count":1}}'),
            *(b'{"closing":7}', b'{"closing":{"reason":"x"}}', b'{"closing":{"reason":7,"retry_ms":1}}'),
            b'{"closing":{"reason":"x","retry_ms":%d}}' % 10**4000,
            *(b'{"error":7}', b'{"error":{"code":"x"}}', b'{"error":{"code":[],"message":""}}'),
            b'{"dance":"' + b" " * 16384 + b'"}',
        ):
            with self.assertRaises(ProtocolError, msg=bad[:60]):
                decode_control(bad)

    def test_what_the_relay_says_cannot_steer_a_terminal(self):
        error = decode_control(b'{"error":{"code":"x","message":"\\u001b[2J\\n\\u202eevil"}}')
        self.assertEqual(str(error), "The relay reports x: \\x1b[2J\\n\\u202eevil.")
        self.assertEqual(printable("größe \udcff\x7f"), "größe \\xff\\x7f")


if __name__ == "__main__":
    unittest.main()
