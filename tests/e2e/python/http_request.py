"""What a web page can have a browser send, sent by Python's standard library: the relay has to answer with a page.

http_request.py PORT
"""

import http.client
import os
import sys

TIMEOUT = 20 * int(os.environ.get("RELAY_TEST_PATIENCE", "1"))

for method, path, body in [
    ("GET", "/?|device_b|5|hello", None),
    ("POST", "/", "x|device_b|5|hello"),
    ("HEAD", "/|device_b|5|hello", None),
    ("OPTIONS", "/|device_b|5|hello", None),
]:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=TIMEOUT)
    connection.request(method, path, body)
    response = connection.getresponse()
    page = response.read().decode()
    assert response.status == 400, response.status
    assert response.getheader("Content-Type").startswith("text/plain"), response.headers
    assert method == "HEAD" or "relay" in page, page
    connection.close()
