# SPDX-License-Identifier: BSD-3-Clause
"""Packaged speech: the prompts of asterisk-core-sounds-en-wav (8 kHz, 16 bit, mono)."""

import glob
import os
import struct
import wave

import rtp

FRAME = 160  # samples, 20 ms at 8 kHz
DIGIT_MS = 160


def prompt(name):
    found = glob.glob(f"/usr/share/asterisk/sounds/**/{name}.wav", recursive=True)
    if not found:
        raise FileNotFoundError(f"the prompt {name}.wav is not here: apt-get install asterisk-core-sounds-en-wav")
    return os.path.realpath(found[0])


def mulaw(sample):
    """One 16-bit sample as G.711 mu-law."""
    sign, sample = (0x80, -sample) if sample < 0 else (0, sample)
    sample = min(sample, 32635) + 132
    exponent = sample.bit_length() - 8
    return ~(sign | exponent << 4 | sample >> exponent + 3 & 15) & 0xff


def frames(path, seconds):
    """A prompt as mu-law payloads of 20 ms, again from its start where it is shorter."""
    with wave.open(path) as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (8000, 2, 1):
            raise ValueError(f"{path} is not 8 kHz, 16 bit, mono")
        data = file.readframes(file.getnframes())
    samples = struct.unpack(f"<{len(data) // 2}h", data)
    coded = bytes(map(mulaw, samples))
    count = int(seconds * 50)
    coded = (coded * (count * FRAME // len(coded) + 1))[:count * FRAME]
    return [coded[i:i + FRAME] for i in range(0, len(coded), FRAME)]


def stream(path, seconds, digits, ssrc, first_digit_s=2.0, digit_every_s=1.0, event_type=101):
    """Speech with RFC 4733 digits in it (speech pauses while a digit is sent), as [(time_s, RTP packet)]."""
    coded = frames(path, seconds)
    begin = {int((first_digit_s + i * digit_every_s) * 50): digit for i, digit in enumerate(digits)}
    out, sequence, n = [], ssrc & 0x7fff, 0
    while n < len(coded):
        events = rtp.digit_packets(begin[n], DIGIT_MS * 8) if n in begin else []
        for i, (marker, payload) in enumerate(events):
            out.append(((n + i) * 0.02, rtp.build(marker, event_type, sequence, n * FRAME, ssrc, payload)))
            sequence += 1
        if events:
            n += len(events)
            continue
        out.append((n * 0.02, rtp.build(n == 0, 0, sequence, n * FRAME, ssrc, coded[n])))
        sequence += 1
        n += 1
    return out


def write_pcap(path, packets):
    """A stream as a pcap file for SIPp's play_pcap_audio."""
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for time_s, data in packets:
            udp = struct.pack("!HHHH", 6000, 6000, 8 + len(data), 0) + data
            ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0, 0x7f000001, 0x7f000001)
            frame = bytes(12) + b"\x08\x00" + ip + udp
            file.write(struct.pack("=IIII", 1000 + int(time_s), int(time_s % 1 * 1e6 + 0.5), len(frame), len(frame)) + frame)
