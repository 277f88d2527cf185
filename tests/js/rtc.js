// SPDX-License-Identifier: BSD-3-Clause
// What JsSIP wants of a browser, as far as it goes without one: a peer connection whose SDP is fixed (plain RTP, PCMU and
// telephone-event at one address) and that sends no media itself. Its ends are real ones of whoever started the program.
'use strict';

const { EventTarget } = globalThis;

function sdp(media, version) {
	const family = media.ip.includes(':') ? 'IP6' : 'IP4';
	return ['v=0', `o=- ${1000 + media.port} ${version} IN ${family} ${media.ip}`, 's=-', `c=IN ${family} ${media.ip}`,
		't=0 0', `m=audio ${media.port} RTP/AVP 0 101`, 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:101 telephone-event/8000',
		'a=fmtp:101 0-16', 'a=ptime:20', 'a=sendrecv', ''].join('\r\n');
}

function peerConnectionClass(media) {
	return class extends EventTarget {
		constructor() {
			super();
			this.signalingState = 'stable';
			this.iceGatheringState = 'complete'; // nothing to gather: the address is known
			this.iceConnectionState = this.connectionState = 'connected';
			this.localDescription = this.remoteDescription = null;
			this.versions = 0;
		}

		async createOffer() {
			return { type: 'offer', sdp: sdp(media, ++this.versions) };
		}

		async createAnswer() {
			return { type: 'answer', sdp: sdp(media, ++this.versions) };
		}

		async setLocalDescription(description) {
			this.localDescription = description;
			this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
		}

		async setRemoteDescription(description) {
			this.remoteDescription = description;
			this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
		}

		addTrack() {}

		getSenders() {
			return [];
		}

		getReceivers() {
			return [];
		}

		close() {
			this.signalingState = 'closed';
		}
	};
}

class SessionDescription {
	constructor({ type, sdp: text }) {
		this.type = type;
		this.sdp = text;
	}
}

class MediaStream {
	getTracks() {
		return [];
	}

	getAudioTracks() {
		return [];
	}

	getVideoTracks() {
		return [];
	}
}

// Put them where JsSIP looks for them. media: {ip, port}.
exports.install = function (media, WebSocket) {
	globalThis.window = globalThis;
	globalThis.RTCPeerConnection = peerConnectionClass(media);
	globalThis.RTCSessionDescription = SessionDescription;
	globalThis.MediaStream = MediaStream;
	globalThis.WebSocket = WebSocket;
};

exports.MediaStream = MediaStream;
