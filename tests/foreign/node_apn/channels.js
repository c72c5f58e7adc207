// Manages channels and sends broadcasts with node-apn, as standard input lists; see tests/foreign/README.md.
'use strict';

const fs = require('fs');
const apn = require('@parse/node-apn');

const [listen, caFile, kind, file, ...rest] = process.argv.slice(2);
const [keyId, teamId] = kind === 'token' ? rest : [];
const channels = rest.at(-1);

function address(hostAndPort) {
  const colon = hostAndPort.lastIndexOf(':');
  return [hostAndPort.slice(0, colon), Number(hostAndPort.slice(colon + 1))];
}

const credential =
  kind === 'certificate' ? { cert: file, key: file } : { token: { key: file, keyId, teamId } };
const [host, port] = address(listen);
const [manageChannelsAddress, manageChannelsPort] = address(channels);
const provider = new apn.Provider({
  ...credential,
  ca: caFile,
  address: host,
  port,
  manageChannelsAddress,
  manageChannelsPort,
  requestTimeout: 60000,
});

// The last channel that was created replaces "$created".
let created;

async function call({ action, bundle, channel, request, payload, expiry, priority, pushType }) {
  const note = new apn.Notification();
  note.requestId = request;
  note.channelId = channel === '$created' ? created : channel;
  if (payload !== undefined) {
    note.rawPayload = payload;
  }
  if (expiry !== undefined) {
    note.expiry = expiry;
  }
  note.priority = priority;
  note.pushType = pushType;
  const { sent, failed } =
    action === 'broadcast'
      ? await provider.broadcast(note, bundle)
      : await provider.manageChannels(note, bundle, action);
  if (sent.length === 1) {
    created = action === 'create' ? sent[0]['apns-channel-id'] : created;
    return sent[0];
  }
  const [{ error, ...answer }] = failed;
  return error ? { ...answer, error: error.message } : answer;
}

async function main() {
  for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(line => line)) {
    process.stdout.write(JSON.stringify(await call(JSON.parse(line))) + '\n');
  }
  provider.shutdown();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
