#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Turns the compiled XDP program into a C array, so that the engine needs no file beside it: embed.sh IN.o OUT.c
{
	echo "// Made from $(basename "$1") at build time."
	echo '#include "nic_xdp.h"'
	echo 'const unsigned char nic_xdp_program[] __attribute__((aligned(8))) = {'
	od -An -v -tx1 "$1" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	echo '};'
	echo 'const unsigned nic_xdp_program_bytes = sizeof(nic_xdp_program);'
} >"$2"
