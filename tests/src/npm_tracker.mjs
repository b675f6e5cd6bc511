// The tracker of the npm package `bittorrent-tracker`, at a UDP port of ::1 only. Arguments: the folder of global
// packages, the port. The package's own program also loads what WebSocket trackers need, which is built from C++.
const [packages, port] = process.argv.slice(2)
const { default: Server } = await import(`${packages}/bittorrent-tracker/server.js`)
const server = new Server({ http: false, udp: true, ws: false, stats: false })
for (const trouble of ['error', 'warning']) server.on(trouble, error => console.error(error))
for (const event of ['start', 'complete', 'update', 'stop']) {
  server.on(event, (peer, announce) => console.error(`${event} ${announce.info_hash} from ${peer}`))
}
server.udp6.bind(Number(port), '::1', () => console.error('listening'))
