// What the client etcd3 of npm does with a cluster: one function for each claim. It prints what it saw, without what
// differs from run to run, so that two servers can be compared line by line.
//
// Usage: node client.mjs ENDPOINTS    with the endpoints separated by commas. Exits with 0 if every claim holds.
//        node client.mjs writes ENDPOINTS    puts one new key after another until its input ends, and prints each key
//            whose put was acknowledged; the value is the key.
//        node client.mjs follow ENDPOINTS    prints `following`, then each key that changes below `follow/`, until its
//            input ends.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { ConstantBackoff } from 'cockatiel';
import { Etcd3 } from 'etcd3';

const TIMEOUT_MS = 30_000;

// Of one put that may fail, and the pause after it failed or a watch lost its node.
const PUT_TIMEOUT_MS = 5_000;
const PAUSE_MS = 50;

const AUTH_USER = { username: 'root', password: 'rootpw' };

function connect(hosts, options = {}) {
  return new Etcd3({
    hosts,
    defaultCallOptions: context => (context.isStream ? {} : { deadline: Date.now() + TIMEOUT_MS }),
    ...options,
  });
}

function within(promise, what) {
  const late = sleep(TIMEOUT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: nothing within ${TIMEOUT_MS} ms`);
  });
  return Promise.race([promise, late]);
}

// Collects what an emitter says of an event; `next` waits for the one after those that were taken already.
function queue(emitter, event) {
  const values = [];
  const waiting = [];
  emitter.on(event, value => (waiting.length > 0 ? waiting.shift()(value) : values.push(value)));
  return {
    next: () =>
      within(values.length > 0 ? values.shift() : new Promise(resolve => waiting.push(resolve)), event),
  };
}

// The class and the text of the error with which a call fails.
async function failure(call) {
  try {
    await call;
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
  throw new assert.AssertionError({ message: 'the call should have failed' });
}

const pair = kv => ({
  key: kv.key.toString(),
  value: kv.value.toString(),
  version: kv.version,
  created: kv.create_revision,
  modified: kv.mod_revision,
  leased: kv.lease !== '0',
});

async function keysAreWrittenReadAndDeleted({ client, nodes, show }) {
  show((await client.put('kv/a').value('1')).header.revision);
  for (const node of nodes) {
    assert.equal(await node.get('kv/a').string(), '1');
  }
  show(await client.get('kv/none').string(), await client.get('kv/none').exists());
  show(pair(await client.put('kv/a').value(2).getPrevious()));
  assert.equal(await client.get('kv/a').number(), 2);
  await client.put('kv/json').value(JSON.stringify({ list: [1, 2] }));
  assert.deepEqual(await client.get('kv/json').json(), { list: [1, 2] });
  const bytes = Buffer.from([0, 255, 128]);
  await client.put(Buffer.from([0x6b, 0x76, 0x2f, 0xff])).value(bytes);
  assert.deepEqual(await client.get(Buffer.from([0x6b, 0x76, 0x2f, 0xff])).buffer(), bytes);
  show((await client.get('kv/a').exec()).kvs.map(pair));
  await client.put('kv/a').touch();
  show((await client.get('kv/a').exec()).kvs.map(pair));
  show((await client.delete().prefix('kv/').getPrevious()).map(kv => kv.key.toString('hex')));
  show((await client.delete().key('kv/a')).deleted);
}

async function rangesAreSortedLimitedAndFiltered({ client, show }) {
  for (let number = 0; number < 10; number++) {
    await client.put(`range/${number}`).value(9 - number);
  }
  const all = () => client.getAll().prefix('range/');
  show(await all().numbers());
  show(await all().sort('Value', 'Ascend').limit(3).strings());
  show(await all().sort('Key', 'Descend').limit(2).keys());
  show(await all().count());
  show(await client.getAll().inRange({ start: 'range/3', end: 'range/6' }).keys());
  const page = await all().limit(4).exec();
  show(page.count, page.more, page.kvs.length);
  const modified = page.kvs[3].mod_revision;
  show(await all().minModRevision(modified).keys(), await all().maxCreateRevision(modified).keys());
  show(await all().revision(modified).keys());
  show(await all().serializable(true).count());
  show((await client.delete().inRange({ start: 'range/0', end: 'range/5' })).deleted);
  show((await client.delete().prefix('range/')).deleted);
}

async function aNamespaceIsAStoreOfItsOwn({ client, show }) {
  const outer = client.namespace('name/');
  const inner = outer.namespace('space/');
  await outer.put('a').value('outer');
  await inner.put('a').value('inner');
  show(await client.getAll().prefix('name/').strings());
  show(await outer.getAll().strings(), await inner.getAll().strings());
  const watcher = await within(inner.watch().key('b').create(), 'a watch');
  const puts = queue(watcher, 'put');
  await inner.put('b').value('watched');
  const seen = await puts.next();
  show(seen.key.toString(), seen.value.toString());
  await within(watcher.cancel(), 'cancel');
  const answer = await inner.if('a', 'Value', '==', 'inner').then(inner.get('a')).commit();
  show(answer.responses[0].response_range.kvs.map(kv => kv.value.toString()));
  show((await outer.delete().all()).deleted);
}

async function aTransactionTakesOneOfTwoBranches({ client, show }) {
  await client.put('txn/a').value('old');
  for (let round = 0; round < 2; round++) {
    const answer = await client
      .if('txn/a', 'Value', '==', 'old')
      .and('txn/a', 'Version', '>', 0)
      .and('txn/none', 'Create', '==', 0)
      .and('txn/none', 'Mod', '!=', 7)
      .and('txn/a', 'Lease', '==', 0)
      .then(client.put('txn/a').value('new'), client.get('txn/a'), client.delete().key('txn/none'))
      .else(client.get('txn/a'), client.getAll().prefix('txn/'))
      .commit();
    show(answer.succeeded, answer.header.revision);
    for (const response of answer.responses) {
      const kind = response.response;
      show(kind, response[kind].kvs?.map(pair), response[kind].deleted, response[kind].count);
    }
  }
  const twice = client.if('txn/a', 'Version', '>', 0).then(client.put('txn/a').value(1), client.put('txn/a').value(2));
  show(await failure(twice.commit()));
}

async function softwareTransactionsLoseNoUpdate({ nodes, show }) {
  await nodes[0].put('stm/counter').value(0);
  const adders = nodes.map(async node => {
    for (let round = 0; round < 5; round++) {
      await node.stm({ retries: 100 }).transact(async transaction => {
        const value = await transaction.get('stm/counter').number();
        await transaction.put('stm/counter').value(value + 1);
      });
    }
  });
  await within(Promise.all(adders), 'the counters');
  show(await nodes[1].get('stm/counter').number());
  const conflict = nodes[0].stm({ retries: 0 }).transact(async transaction => {
    await transaction.get('stm/counter').number();
    await nodes[1].put('stm/counter').value(1000);
    await transaction.put('stm/counter').value(0);
  });
  show(await failure(conflict), await nodes[2].get('stm/counter').number());
}

async function aLeaseIsKeptAliveAndTakesItsKeys({ client, nodes, show }) {
  const lease = client.lease(2);
  const succeeded = queue(lease, 'keepaliveSucceeded');
  await lease.put('lease/a').value('1');
  await client.put('lease/b').value('2').lease(lease.grant());
  // Longer than it lives without.
  for (let round = 0; round < 4; round++) {
    show((await succeeded.next()).TTL);
  }
  show((await lease.keepaliveOnce()).TTL, lease.revoked());
  const id = await lease.grant();
  const left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  // etcd tells them in any order.
  show(left.grantedTTL, left.keys.map(String).sort(), Number(left.TTL) > 0 && Number(left.TTL) <= 2);
  show((await client.leaseClient.leaseLeases()).leases.map(found => found.ID === id));
  await lease.revoke();
  show(await nodes[1].getAll().prefix('lease/').keys(), lease.revoked());

  const passive = client.lease(1, { autoKeepAlive: false });
  const watcher = await within(client.watch().key('lease/passive').create(), 'a watch');
  const deletes = queue(watcher, 'delete');
  await passive.put('lease/passive').value('1');
  const expired = await deletes.next();
  show(expired.key.toString());
  await within(watcher.cancel(), 'cancel');
  show((await failure(passive.keepaliveOnce())).replaceAll(await passive.grant(), 'ID'));

  const lost = client.lease(2);
  const losses = queue(lost, 'lost');
  const lostId = await lost.grant();
  await client.leaseClient.leaseRevoke({ ID: lostId });
  const loss = await losses.next();
  show(loss.constructor.name, loss.message.replaceAll(lostId, 'ID'), lost.revoked());
  show(await failure(client.put('lease/c').value('1').lease('12345')));
  show(await failure(client.leaseClient.leaseRevoke({ ID: '12345' })));
}

async function aWatchSeesEveryChangeInOrder({ client, nodes, show }) {
  const first = (await client.put('watch/a').value('0')).header.revision;
  const builder = client.watch().prefix('watch/').withPreviousKV().startRevision(first);
  const watcher = await within(builder.create(), 'a watch');
  const responses = queue(watcher, 'data');
  for (let number = 1; number < 10; number++) {
    await nodes[number % nodes.length].put('watch/a').value(number);
  }
  await nodes[1].delete().key('watch/a');
  const seen = [];
  while (seen.length < 11) {
    seen.push(...(await responses.next()).events);
  }
  for (const event of seen) {
    show(event.type, event.kv.value.toString(), event.prev_kv?.value.toString(), event.kv.mod_revision - first);
  }
  await within(watcher.cancel(), 'cancel');

  const deletions = await within(client.watch().prefix('watch/').only('delete').create(), 'a watch');
  const events = queue(deletions, 'data');
  await client.put('watch/b').value('1');
  await client.delete().key('watch/b');
  show((await events.next()).events.map(event => event.type));
  await within(deletions.cancel(), 'cancel');

  await client.kv.compact({ revision: Number(first) + 5 });
  const old = client.watch().key('watch/a').startRevision(first).watcher();
  const canceled = queue(old, 'error');
  const error = await canceled.next();
  show(error.constructor.name, error.message);
  show(await failure(client.get('watch/a').revision(first).exec()));
  show(await failure(client.get('watch/a').revision(1_000_000).exec()));
}

async function aLockIsHeldByOne({ nodes, show }) {
  const held = nodes[0].lock('lock/a').ttl(30);
  await held.acquire();
  show((await held.leaseId()) !== null);
  show(await failure(nodes[1].lock('lock/a').ttl(30).acquire()));
  await held.release();
  show(await nodes[1].lock('lock/a').do(() => 'was held'));
  show(await nodes[2].getAll().prefix('lock/').keys());
}

async function anElectionHasOneLeader({ nodes, show }) {
  const observer = await within(nodes[2].election('vote').observe(), 'an observer');
  const changes = queue(observer, 'change');
  const first = nodes[0].election('vote').campaign('first');
  await within(first.wait(), 'the first leader');
  show(await changes.next());
  const second = nodes[1].election('vote').campaign('second');
  let hasWon = false;
  // Listens from the start: who wins while the other still resigns is told of it only once.
  const won = second.wait().then(() => (hasWon = true));
  await second.getCampaignKey();
  await first.proclaim('still the first');
  show(await changes.next(), hasWon, await nodes[1].election('vote').leader());
  await first.resign();
  await within(won, 'the second leader');
  while ((await changes.next()) !== 'second');
  show(await nodes[0].election('vote').leader(), await failure(first.proclaim('late')));
  await second.resign();
  await observer.cancel();
  show(await nodes[0].election('vote').leader());
}

async function membersAndStatusAreTold({ client, nodes, show }) {
  const { members } = await client.cluster.memberList({});
  show(members.map(member => [member.name, member.clientURLs.length, member.isLearner]).sort());
  for (const node of nodes) {
    // A node tells its own revision; after this it has all that was written.
    await node.get('status').exec();
    const status = await node.maintenance.status({});
    show(status.header.revision, members.some(member => member.ID === status.leader), Number(status.dbSize) > 0);
  }
  show((await client.maintenance.alarm({ action: 'Get' })).alarms);
  const hashes = await Promise.all(nodes.map(node => node.maintenance.hash({})));
  assert.equal(hashes.length, nodes.length);
}

async function usersHaveTheRightsOfTheirRoles({ client, hosts, show }) {
  const shown = async role => (await role.permissions()).map(({ permission, range }) => [permission, `${range.start}`, `${range.end}`]);
  const app = await client.role('app').create();
  show(await failure(client.role('app').create()));
  await app.grant({ permission: 'Readwrite', range: client.range({ prefix: 'app/' }) });
  await app.grant({ permission: 'Read', key: 'config' });
  show(await shown(app));
  await app.revoke({ permission: 'Read', key: 'config' });
  show(await shown(app));
  const alice = await client.user('alice').create('secret');
  show(await failure(client.user('alice').create('secret')));
  show(await failure(client.user('nobody').addRole('app')));
  show(await failure(alice.addRole('nothing')));
  show(await failure(alice.removeRole('app')));
  show(await failure(client.role('nothing').permissions()));
  await app.addUser(alice);
  show((await alice.roles()).map(role => role.name));
  const root = await client.user(AUTH_USER.username).create(AUTH_USER.password);
  show(await failure(client.auth.authEnable({})));
  await client.role('root').create();
  await root.addRole('root');
  await client.auth.authEnable({});

  const asRoot = connect(hosts, { auth: AUTH_USER });
  const asAlice = connect(hosts, { auth: { username: 'alice', password: 'secret' } });
  const asMallory = connect(hosts, { auth: { username: 'alice', password: 'wrong' } });
  try {
    await asAlice.put('app/a').value('hers');
    show(await asRoot.get('app/a').string());
    show(await failure(asAlice.put('other').value('1').exec()));
    show(await failure(asAlice.getAll().all().exec()));
    show(await failure(asAlice.user('bob').create('x')));
    show(await failure(asMallory.get('app/a').exec()));
    show(await failure(client.get('app/a').exec()));
    const watcher = asAlice.watch().key('other').watcher();
    const refusal = await queue(watcher, 'error').next();
    show(refusal.constructor.name, refusal.message);
    show((await asRoot.getUsers()).map(user => user.name), (await asRoot.getRoles()).map(role => role.name));
    await asRoot.user('alice').setPassword('new');
    const again = connect(hosts, { auth: { username: 'alice', password: 'new' } });
    show(await again.get('app/a').string());
    again.close();
    await asRoot.user('alice').removeRole('app');
    show((await asRoot.user('alice').roles()).length);
    await asRoot.auth.authDisable({});
    await client.user('alice').delete();
    await client.role('app').delete();
    show(await failure(client.user('alice').roles()), await failure(client.role('app').delete()));
  } finally {
    for (const one of [asRoot, asAlice, asMallory]) one.close();
  }
}

async function aNodeThatIsNotThereIsAnError({ show }) {
  // Port 1 of this machine: nobody listens there.
  const nowhere = connect(['http://127.0.0.1:1']);
  show((await failure(nowhere.get('a').exec())).split(':')[0]);
  nowhere.close();
  show(await failure((async () => nowhere.get('a').exec())()));
}

function untilTheInputEnds() {
  return once(process.stdin.resume(), 'end');
}

async function writes(hosts) {
  let ended = false;
  untilTheInputEnds().then(() => (ended = true));
  const client = connect(hosts);
  for (let number = 0; !ended; number++) {
    const key = `writes/node/${number}`;
    try {
      await client.put(key).value(key).options({ deadline: Date.now() + PUT_TIMEOUT_MS });
      console.log(key);
    } catch (error) {
      console.error(`${key}: ${error}`);
      await sleep(PAUSE_MS);
    }
  }
  client.close();
}

async function follow(hosts) {
  // Without this the client waits up to half a minute before it asks another node.
  const client = connect(hosts, { faultHandling: { watchBackoff: new ConstantBackoff(PAUSE_MS) } });
  const watcher = await within(client.watch().prefix('follow/').create(), 'a watch');
  watcher.on('put', kv => console.log(kv.key.toString()));
  watcher.on('disconnected', error => console.error(`lost its node: ${error}`));
  console.log('following');
  await untilTheInputEnds();
  client.close();
}

async function claims(hosts) {
  const client = connect(hosts);
  const nodes = hosts.map(host => connect(host));
  for (const claim of [
    keysAreWrittenReadAndDeleted,
    rangesAreSortedLimitedAndFiltered,
    aNamespaceIsAStoreOfItsOwn,
    aTransactionTakesOneOfTwoBranches,
    softwareTransactionsLoseNoUpdate,
    aLeaseIsKeptAliveAndTakesItsKeys,
    aWatchSeesEveryChangeInOrder,
    aLockIsHeldByOne,
    anElectionHasOneLeader,
    membersAndStatusAreTold,
    usersHaveTheRightsOfTheirRoles,
    aNodeThatIsNotThereIsAnError,
  ]) {
    console.log(claim.name);
    const show = (...values) => console.log(`  ${values.map(value => JSON.stringify(value)).join(' ')}`);
    await claim({ client, nodes, hosts, show });
  }
  for (const one of [client, ...nodes]) one.close();
}

const modes = { writes, follow };
const [mode, endpoints] = process.argv.length > 3 ? process.argv.slice(2) : [undefined, process.argv[2]];
await (modes[mode] ?? claims)(endpoints.split(','));
process.exit(0);
