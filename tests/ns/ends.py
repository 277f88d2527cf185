# SPDX-License-Identifier: BSD-3-Clause
"""Ends of a call that speak other codecs than G.711: speech into payloads by ffmpeg's encoders and back by its decoders,
and what became of speech on its way (tests/tools/wave_compare.c)."""

import json
import os
import subprocess
import sys

import engine

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import codecs_foreign  # noqa: E402

RATE = 8000


class Codec:
    """name: as in rtpmap; type: its static payload type, or the one that our ends give it; kind: ffmpeg's format."""

    def __init__(self, name, payload_type, clock, kind, encode, bytes_20ms, rate=RATE, channels=1, decode=()):
        self.name, self.type, self.clock, self.kind, self.encode_options = name, payload_type, clock, kind, encode
        self.bytes_20ms, self.rate, self.channels, self.decode_options = bytes_20ms, rate, channels, decode
        self.rtpmap = f"{name}/{clock}" + (f"/{channels}" if channels > 1 else "")

    def __str__(self):
        return self.name

    def encode(self, pcm, ptime=20, bandwidth=48000):
        """16-bit speech at RATE; bandwidth: of what Opus is told to spend bits on (as codecs/opus_fmtp.c chooses them).
        Returns: payloads."""
        bits = 16 if bandwidth == 8000 else 24 if bandwidth == 16000 else 32
        source = ["-f", "s16le", "-ar", str(RATE), "-ac", "1"]
        if self.name == "opus":
            return codecs_foreign.packets_of(codecs_foreign.ffmpeg(source, [
                "-c:a", "libopus", "-b:a", f"{bits}k", "-application", "voip", "-frame_duration", str(ptime), "-f", "ogg"], pcm))
        data = codecs_foreign.ffmpeg(source, [*self.encode_options, "-ar", str(self.rate), "-f", self.kind], pcm)
        size = self.bytes_20ms * ptime // 20
        return [data[i:i + size] for i in range(0, len(data) // size * size, size)]

    def decode(self, payloads):
        """Returns: 16-bit speech at RATE."""
        to = ["-f", "s16le", "-ar", str(RATE), "-ac", "1"]
        if self.name == "opus":
            return codecs_foreign.ffmpeg(["-c:a", "libopus", "-f", "ogg"], to, codecs_foreign.ogg_of(payloads, 48000))
        if self.name.startswith("G726"):  # ffmpeg's is not the Recommendation's (tests/codecs_foreign.py)
            codecs_foreign.tool = engine.program("codec_file")
            return codecs_foreign.ours("decode", self.name, self.clock, 1, RATE, codecs_foreign.stream_of(payloads))
        known = ["-ar", str(self.rate), "-ac", "1"] if self.kind in ("mulaw", "alaw", "s16be") else []
        return codecs_foreign.ffmpeg(["-f", self.kind, *known], to, b"".join(payloads))


PCMU = Codec("PCMU", 0, 8000, "mulaw", ["-c:a", "pcm_mulaw"], 160)
PCMA = Codec("PCMA", 8, 8000, "alaw", ["-c:a", "pcm_alaw"], 160)
G722 = Codec("G722", 9, 8000, "g722", ["-c:a", "g722"], 160, 16000)
GSM = Codec("GSM", 3, 8000, "gsm", ["-c:a", "libgsm"], 33)
G726 = Codec("G726-32", 97, 8000, "g726le", ["-c:a", "g726le", "-b:a", "32k"], 80)
L16 = Codec("L16", 98, 16000, "s16be", ["-c:a", "pcm_s16be"], 640, 16000)
OPUS = Codec("opus", 99, 48000, None, [], None, 48000, 2)
ALL = [PCMU, PCMA, G722, GSM, G726, L16, OPUS]


def sdp(ip, port, codecs, types=None, events=((101, 8000),), direction="sendrecv", session=None, ptime=20, fmtp=""):
    """types: payload types other than the codecs' own, in their order."""
    types = types or [codec.type for codec in codecs]
    lines = ["v=0", f"o=- {session or 1000 + port} 1 IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0",
             f"m=audio {port} RTP/AVP {' '.join(str(n) for n in [*types, *(n for n, _ in events)])}"]
    lines += [f"a=rtpmap:{number} {codec.rtpmap}" for number, codec in zip(types, codecs)]
    for number, clock in events:
        lines += [f"a=rtpmap:{number} telephone-event/{clock}", f"a=fmtp:{number} 0-16"]
    lines += [f"a=fmtp:{types[0]} {fmtp}"] if fmtp else []
    return "\r\n".join(lines + ([f"a=ptime:{ptime}"] if ptime else []) + [f"a={direction}"]) + "\r\n"


def compare(bed, name, said, heard):
    """Returns: {lag_ms, drift_ms, level_db, distance_db, gaps, seconds}."""
    paths = []
    for what, data in (("said", said), ("heard", heard)):
        paths.append(bed.path(f"{name}-{what}.raw"))
        with open(paths[-1], "wb") as file:
            file.write(data)
    done = subprocess.run([engine.program("wave_compare"), *paths, str(RATE)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
