#!/usr/bin/env node
// SPDX-License-Identifier: BSD-3-Clause
// JsSIP over a WebSocket without a browser: client.js --ws ws://IP:PORT[/PATH] [--uri sip:USER@HOST] [--user USER]
// [--password P] [--register] [--call sip:X | --answer] [--media IP:PORT] [--ca FILE | --insecure]
// [--from IP]. Each thing that
// happens is one line of JSON with its `event`; on its standard input it takes `hangup`, `dtmf DIGITS`, `hold`, `unhold`,
// `quit`. It ends with 0 at `quit` or the end of its input.
'use strict';

const fs = require('node:fs');
const readline = require('node:readline');
const { parseArgs } = require('node:util');

const { values: options } = parseArgs({ options: {
	ws: { type: 'string' }, uri: { type: 'string' }, user: { type: 'string', default: 'alice' }, password: { type: 'string' },
	call: { type: 'string' }, answer: { type: 'boolean', default: false }, register: { type: 'boolean', default: false },
	media: { type: 'string', default: '127.0.0.1:7000' }, ca: { type: 'string' }, from: { type: 'string' }, insecure: { type: 'boolean', default: false },
	debug: { type: 'boolean', default: false },
} });

function say(event, more) {
	process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
}

function splitMedia(text) {
	const at = text.lastIndexOf(':');
	return { ip: text.slice(0, at).replace(/[[\]]/g, ''), port: Number(text.slice(at + 1)) };
}

// What wss trusts is ours to say.
function socketClass() {
	const { WebSocket } = require('ws');
	const tls = { ca: options.ca && fs.readFileSync(options.ca), rejectUnauthorized: !options.insecure, localAddress: options.from };
	return class extends WebSocket {
		constructor(url, protocols) {
			super(url, protocols, tls);
		}
	};
}

require('./rtc').install(splitMedia(options.media), socketClass());
if (options.debug)
	process.env.DEBUG = 'JsSIP:*';
const JsSIP = require('jssip');
const { MediaStream } = require('./rtc');

if (!options.ws) {
	console.error('client.js: say where to connect: --ws ws://IP:PORT');
	process.exit(2);
}
if (options.debug)
	JsSIP.debug.enable('JsSIP:*');

const host = new URL(options.ws).hostname;
const ua = new JsSIP.UA({
	sockets: [new JsSIP.WebSocketInterface(options.ws)],
	uri: options.uri || `sip:${options.user}@${host}`,
	password: options.password,
	register: options.register,
	register_expires: 60,
	session_timers: false,
	user_agent: 'JsSIP',
});
let session = null;

function body(message) {
	return message && message.body ? message.body : undefined;
}

function follow(started) {
	session = started;
	session.on('progress', (e) => say('progress', { originator: e.originator, status: e.response && e.response.status_code,
		sdp: body(e.response) }));
	session.on('accepted', (e) => say('accepted', { originator: e.originator, status: e.response && e.response.status_code,
		sdp: body(e.response) }));
	session.on('confirmed', (e) => say('confirmed', { originator: e.originator }));
	session.on('failed', (e) => say('failed', { originator: e.originator, cause: e.cause,
		status: e.message && e.message.status_code }));
	session.on('ended', (e) => say('ended', { originator: e.originator, cause: e.cause }));
	session.on('newDTMF', (e) => say('dtmf', { originator: e.originator, tone: e.dtmf.tone }));
	session.on('hold', (e) => say('hold', { originator: e.originator }));
	session.on('unhold', (e) => say('unhold', { originator: e.originator }));
}

function call() {
	follow(ua.call(options.call, { mediaStream: new MediaStream() }));
}

ua.on('connected', () => say('connected'));
ua.on('disconnected', (e) => say('disconnected', { error: Boolean(e.error), code: e.code, reason: e.reason }));
ua.on('registered', (e) => {
	say('registered', { status: e.response.status_code });
	if (options.call && !session)
		call();
});
ua.on('unregistered', () => say('unregistered'));
ua.on('registrationFailed', (e) => say('registration_failed', { cause: e.cause, status: e.response && e.response.status_code }));
ua.on('connected', () => {
	if (options.call && !options.register && !session)
		call();
});
ua.on('newRTCSession', (e) => {
	if (e.originator !== 'remote')
		return;
	follow(e.session);
	say('incoming', { from: e.request.from.uri.toString(), call_id: e.request.call_id, sdp: body(e.request) });
	if (options.answer)
		e.session.answer({ mediaStream: new MediaStream() });
});

const commands = {
	hangup: () => session.terminate(),
	dtmf: (digits) => session.sendDTMF(digits, { transportType: 'INFO' }),
	hold: () => session.hold(),
	unhold: () => session.unhold(),
	quit: () => quit(),
};

function quit() {
	ua.stop(); // hangs up and unregisters
	setTimeout(() => process.exit(0), 300);
}

const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => {
	const [name, ...rest] = line.trim().split(/\s+/);
	try {
		commands[name](...rest);
	} catch (error) {
		say('refused', { command: line, error: String(error) });
	}
});
input.on('close', quit);
ua.start();
