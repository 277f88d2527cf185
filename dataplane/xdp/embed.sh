#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Turns a compiled BPF program into a C array, so that the engine needs no file beside it: embed.sh IN.o OUT.c NAME
{
	echo "// Made from $(basename "$1") at build time."
	echo "#include \"$3.h\""
	echo "const unsigned char $3_program[] __attribute__((aligned(8))) = {"
	od -An -v -tx1 "$1" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	echo '};'
	echo "const unsigned $3_program_bytes = sizeof($3_program);"
} >"$2"
