#!/usr/bin/env node
// s3rver in place of versitygw: `versitygw posix FOLDER`, with the accounts of $VGW_IAM_DIR/users.json. It compares the
// key's name, not the secret
const { readFileSync } = require('fs');
const http = require('http');
const S3rver = require('s3rver');
const Account = require('s3rver/lib/models/account');

const [, , backend, directory] = process.argv;
if (backend !== 'posix') throw new Error(`no back end ${backend}`);
if (!process.env.ROOT_ACCESS_KEY_ID || !process.env.ROOT_SECRET_ACCESS_KEY) throw new Error('no root account');
const { accessAccounts } = JSON.parse(readFileSync(`${process.env.VGW_IAM_DIR}/users.json`));
Account.registry.clear();
for (const { access, secret } of Object.values(accessAccounts)) new Account(access, access).createKeyPair(access, secret);

const s3 = new S3rver({ directory, silent: true, vhostBuckets: false }).callback();
const server = http.createServer((request, response) =>
  request.url === process.env.VGW_HEALTH ? response.end('OK') : s3(request, response));
server.listen(Number(process.env.VGW_PORT.split(':')[1]), process.env.VGW_PORT.split(':')[0] || '0.0.0.0');
process.on('SIGTERM', () => process.exit(0));
