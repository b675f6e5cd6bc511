"""Seeds or downloads one torrent with libtorrent: libtorrent_peer.py seed|download TORRENT FOLDER PORT.

As a seeder it runs until it is ended; a download ends once everything is on the disk.
"""

import sys

import libtorrent as lt

role, torrent, folder, port = sys.argv[1:]
settings = {
    # The tracker tells it of itself, at the address that the other client has too.
    "allow_multiple_connections_per_ip": True,
    "listen_interfaces": f"127.0.0.1:{port}",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_natpmp": False,
    "enable_upnp": False,
    "alert_mask": lt.alert.category_t.error_notification
    | lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification,
}
# Without the default plug-ins there is no peer exchange.
session = lt.session(settings, flags=0)
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
if role == "seed":
    params.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(params)

done = False
while not done:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(alert, flush=True)
        if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
            sys.exit(1)
        if role == "download" and isinstance(alert, lt.torrent_finished_alert):
            handle.flush_cache()
        if role == "download" and isinstance(alert, lt.cache_flushed_alert):
            done = handle.status().is_seeding
