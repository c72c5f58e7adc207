// Sends with node-apn what standard input lists; see tests/foreign/README.md.
'use strict';

const fs = require('fs');
// Beside this file when it is run: the build copies it to where the library is installed.
const apn = require('@parse/node-apn');

const [listen, caFile, kind, file, keyId, teamId] = process.argv.slice(2);
const colon = listen.lastIndexOf(':');
const credential =
  kind === 'certificate' ? { cert: file, key: file } : { token: { key: file, keyId, teamId } };
const provider = new apn.Provider({
  ...credential,
  ca: caFile,
  address: listen.slice(0, colon),
  port: Number(listen.slice(colon + 1)),
  requestTimeout: 60000,
});

async function send(line) {
  const [token, id, topic, pushType, priority, expiration, payload] = line.split('\t');
  const note = new apn.Notification();
  Object.assign(note, { id, topic, pushType, priority: Number(priority), expiry: Number(expiration) });
  note.rawPayload = JSON.parse(payload);
  const { sent, failed } = await provider.send(note, token);
  if (sent.length === 1) {
    return ['200', '', '', ''];
  }
  const [{ status, response, error }] = failed;
  if (!response) {
    throw error;
  }
  return [status, response.reason, response.timestamp ?? '', ''];
}

async function main() {
  const lines = fs.readFileSync(0, 'utf8').split('\n').filter(line => line);
  // node-apn does not wait for SETTINGS, and a connection with a provider token takes one stream until its first push is
  // accepted: what comes at once with it would be refused.
  const first = await send(lines[0]);
  const answers = [first, ...(await Promise.all(lines.slice(1).map(send)))];
  process.stdout.write(answers.map(fields => fields.join('\t') + '\n').join(''));
  provider.shutdown();
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
