#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Our codecs against ffmpeg's: each decodes what the other encoded. tests/codecs_foreign.py CODEC_FILE (tests/tools).

Its decoders are none of the libraries that we use: both decode the same payloads, and what comes out must be the same where
the standard promises that. Its encoders are its own for G.711, G.722 and G.726, libgsm and libopus for the others."""

import array
import math
import shutil
import struct
import subprocess
import sys
import wave

SECONDS = 3
SKIPPED = 77  # as meson reads it
# name, clock, channels, rate, ffmpeg's format, its options to read, its options to write, SNR in dB that two decoders
# of one stream must have at least (None: bit for bit)
RAW = [
    ("PCMU", 8000, 1, 8000, "mulaw", [], ["-c:a", "pcm_mulaw"], None),
    ("PCMA", 8000, 1, 8000, "alaw", [], ["-c:a", "pcm_alaw"], None),
    ("L16", 8000, 1, 8000, "s16be", [], ["-c:a", "pcm_s16be"], None),
    ("L16", 16000, 1, 16000, "s16be", [], ["-c:a", "pcm_s16be"], None),
    ("G722", 8000, 1, 16000, "g722", [], ["-c:a", "g722"], None),
    ("GSM", 8000, 1, 8000, "gsm", [], ["-c:a", "libgsm"], None),
]
# ffmpeg's G.726 rounds its step size otherwise than the Recommendation does (codecs/g726_test.c has that bit for bit), and
# what the two ends hear drifts apart; at 40 kbit/s so far that it is left out.
for kilobits in (16, 24, 32):
    for prefix, kind in (("", "g726le"), ("AAL2-", "g726")):
        RAW.append((f"{prefix}G726-{kilobits}", 8000, 1, 8000, kind, ["-code_size", str(kilobits // 8)],
                    ["-c:a", kind, "-b:a", f"{kilobits}k"], 10))
OPUS_LEAST_DB = 8  # between two decoders: how SILK's samples get to 48 kHz is not part of the standard
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)

tool = None


def voice(rate):
    """A gliding voice below 3.4 kHz, loud and soft by turns."""
    out, phase = array.array("h"), 0.0
    for n in range(SECONDS * rate):
        t = n / rate
        pitch = 110 + 140 * (t % 0.5)
        phase += 2 * math.pi * pitch / rate
        total = sum(math.sin(h * phase + h * h * 0.8) / (1 + ((h * pitch - 600) / 400) ** 2) for h in range(1, 16)
                    if h * pitch < 3400)
        out.append(int(3500 * total * (0.6 + 0.4 * math.sin(8 * math.pi * t))))
    return out


def run(command, data):
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def ffmpeg(read, write, data):
    return run(["ffmpeg", "-hide_banner", "-loglevel", "error", *read, "-i", "pipe:0", *write, "pipe:1"], data)


def ours(what, name, clock, channels, rate, data):
    return run([tool, what, name, str(clock), str(channels), str(rate), "20"], data)


def payloads_of(stream):
    at, payloads = 0, []
    while at < len(stream):
        length = struct.unpack_from(">H", stream, at)[0]
        payloads.append(stream[at + 2:at + 2 + length])
        at += 2 + length
    return payloads


def stream_of(payloads):
    return b"".join(struct.pack(">H", len(payload)) + payload for payload in payloads)


def samples(data):
    out = array.array("h")
    out.frombytes(data[:len(data) // 2 * 2])
    return out


def level_db(signal):
    return 10 * math.log10(sum(x * x for x in signal) / max(1, len(signal)) + 1e-9)


def snr_db(reference, other):
    count = min(len(reference), len(other))
    noise = sum((a - b) ** 2 for a, b in zip(reference[:count], other[:count]))
    return math.inf if noise == 0 else 10 * math.log10(sum(x * x for x in reference[:count]) / noise)


# --- Ogg, as far as one Opus stream needs it (RFC 3533, RFC 7845) ---------------------------------------------------

def ogg_crc(data):
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04c11db7) & 0xffffffff if crc & 0x80000000 else crc << 1
    return crc


def ogg_page(packet, sequence, granule, kind):
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, granule, 1, sequence, 0, len(lacing)) + lacing
    page = bytearray(head + packet)
    struct.pack_into("<I", page, 22, ogg_crc(page))
    return bytes(page)


def ogg_of(payloads, rate):
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, rate, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 5) + b"kedge" + struct.pack("<I", 0)
    pages = [ogg_page(head, 0, 0, 2), ogg_page(tags, 1, 0, 0)]
    for i, payload in enumerate(payloads):
        pages.append(ogg_page(payload, i + 2, 960 * (i + 1), 4 if i == len(payloads) - 1 else 0))
    return b"".join(pages)


def packets_of(ogg):
    at, packets, part = 0, [], b""
    while at < len(ogg):
        count = ogg[at + 26]
        lacing, at = ogg[at + 27:at + 27 + count], at + 27 + count
        for length in lacing:
            part += ogg[at:at + length]
            at += length
            if length < 255:
                packets.append(part)
                part = b""
    return packets[2:]


# --- The checks -----------------------------------------------------------------------------------------------------

def check(title, reference, heard, theirs, least_db):
    """reference: what was said; heard, theirs: what our decoder and ffmpeg's make of the same payloads."""
    skip = len(reference) // 20
    change_db = level_db(heard[skip:len(reference) - skip]) - level_db(reference[skip:len(reference) - skip])
    same_db = snr_db(theirs, heard)
    good = abs(change_db) < 1 and (same_db == math.inf if least_db is None else same_db >= least_db)
    same = "the same samples" if same_db == math.inf else f"{same_db:.1f} dB from ffmpeg's"
    print(f"{'ok  ' if good else 'FAIL'}  {title:<36} level {change_db:+.2f} dB, {same}")
    return good


def check_raw(name, clock, channels, rate, kind, read, write, least_db):
    said, pcm = voice(rate), ["-f", "s16le", "-ar", str(rate), "-ac", "1"]
    what = (name, clock, channels, rate)
    # A format that says its rate and channels itself does not want to be told.
    read = ["-f", kind, *(["-ar", str(rate), "-ac", "1"] if kind in ("mulaw", "alaw", "s16be") else []), *read]

    stream = ours("encode", *what, said.tobytes())
    raw = b"".join(payloads_of(stream))
    good = check(f"{name}/{rate}, encoded by us", said, samples(ours("decode", *what, stream)),
                 samples(ffmpeg(read, ["-f", "s16le"], raw)), least_db)
    theirs = ffmpeg(pcm, [*write, "-f", kind], said.tobytes())
    length = len(raw) // len(payloads_of(stream))
    stream = stream_of([theirs[i:i + length] for i in range(0, len(theirs) // length * length, length)])
    return check(f"{name}/{rate}, encoded by ffmpeg", said, samples(ours("decode", *what, stream)),
                 samples(ffmpeg(read, ["-f", "s16le"], theirs)), least_db) and good


def check_opus(rate):
    """ffmpeg's own decoder, which is not libopus, at 48 kHz; and our decoder at each rate for what its libopus encoded."""
    said, what = voice(rate), ("opus", 48000, 2)
    stream = ours("encode", *what, rate, said.tobytes())
    theirs = samples(ffmpeg(["-c:a", "opus", "-f", "ogg"], ["-f", "s16le", "-ac", "1"], ogg_of(payloads_of(stream), rate)))
    heard = samples(ours("decode", *what, 48000, stream))
    good = check(f"opus, encoded by us at {rate}", voice(48000), heard, theirs, OPUS_LEAST_DB)
    ogg = ffmpeg(["-f", "s16le", "-ar", str(rate), "-ac", "1"], ["-c:a", "libopus", "-b:a", "24k", "-f", "ogg"], said.tobytes())
    theirs = samples(ffmpeg(["-c:a", "opus", "-f", "ogg"], ["-f", "s16le", "-ac", "1", "-ar", "48000"], ogg))
    stream = stream_of(packets_of(ogg))
    heard = samples(ours("decode", *what, 48000, stream))[312:]  # ffmpeg leaves the pre-skip out
    good = check(f"opus, encoded by ffmpeg at {rate}", voice(48000), heard, theirs, OPUS_LEAST_DB) and good
    heard = samples(ours("decode", *what, rate, stream))
    change_db = level_db(heard) - level_db(said)
    print(f"{'ok  ' if abs(change_db) < 1 else 'FAIL'}  opus, decoded by us at {rate:<12} level {change_db:+.2f} dB")
    return good and abs(change_db) < 1


# The same prompts as 16-bit samples, GSM and G.722, packaged by others. The G.722 ones were made two decibels louder.
PROMPTS = "/usr/share/asterisk/sounds/en_US_f_Allison"
PACKAGED = [("gsm", "GSM", 33, 8000, 0.0), ("g722", "G722", 160, 16000, 2.0)]


def check_prompts():
    good = True
    for name in ("demo-congrats", "vm-intro", "tt-weasels", "digits/7"):
        with wave.open(f"{PROMPTS}/{name}.wav") as file:
            said = samples(file.readframes(file.getnframes()))
        for ending, codec, size, rate, louder_db in PACKAGED:
            with open(f"{PROMPTS}/{name}.{ending}", "rb") as file:
                data = file.read()
            data = data[:len(data) // size * size]
            stream = stream_of([data[i:i + size] for i in range(0, len(data), size)])
            heard = samples(ours("decode", codec, 8000, 1, rate, stream))
            theirs = samples(ffmpeg(["-f", ending], ["-f", "s16le"], data))
            change_db = level_db(heard) - level_db(said) - louder_db
            fine = abs(change_db) < 1 and abs(len(heard) / rate - len(said) / 8000) < 0.1 and snr_db(theirs, heard) == math.inf
            print(f"{'ok  ' if fine else 'FAIL'}  {name + '.' + ending:<36} level {change_db:+.2f} dB beside {name}.wav, "
                  f"{snr_db(theirs, heard):.1f} dB from ffmpeg's")
            good = good and fine
    return good


def main():
    global tool
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    tool = sys.argv[1]
    if not shutil.which("ffmpeg"):
        print("skipped: ffmpeg is not installed (apt-get install ffmpeg)")
        return SKIPPED
    good = [check_raw(*row) for row in RAW] + [check_opus(rate) for rate in OPUS_RATES] + [check_prompts()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
