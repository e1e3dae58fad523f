"""A web server and a browser of sorts, of Python's standard library, for both ends of a tunnel.

tunnel_web.py serve FOLDER                 serves the folder's files on a free port of 127.0.0.1 and says where
tunnel_web.py browse URL FOLDER THREADS    gets every file of the folder from the URL, so many at once, and compares it
"""

import functools
import hashlib
import http.client
import http.server
import os
import queue
import sys
import threading
import urllib.parse

PIECE = 1 << 20
TIMEOUT = 20 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))


class Handler(http.server.SimpleHTTPRequestHandler):
    # Connections are kept, as every browser wants it.
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    # A browser opens many connections in the same moment.
    request_queue_size = 128


def serve(folder):
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    print("Listening on %s:%d" % server.server_address[:2])
    server.serve_forever()


def digest(stream):
    whole = hashlib.sha256()
    while piece := stream.read(PIECE):
        whole.update(piece)
    return whole.hexdigest()


def browse(url, folder, threads):
    place = urllib.parse.urlsplit(url)
    names = queue.SimpleQueue()
    for name in os.listdir(folder):
        names.put(name)
    count, failures = names.qsize(), []

    def work():
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT)
        while True:
            try:
                name = names.get_nowait()
            except queue.Empty:
                return
            try:
                connection.request("GET", "/" + name)
                response = connection.getresponse()
                with open(os.path.join(folder, name), "rb") as file:
                    if response.status != 200 or digest(response) != digest(file):
                        failures.append("%s: %d, or other bytes" % (name, response.status))
            except Exception as error:
                failures.append("%s: %r" % (name, error))
                return

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures or not names.empty():
        sys.exit("\n".join(failures) or "not all files were asked for")
    print("%d files are the same" % count)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        browse(sys.argv[2], sys.argv[3], int(sys.argv[4]))
