"""nginx with two workers, and a client with one lasting connection over TCP, by which files are put and got."""
import http.client
import os
import random
import subprocess
import time

FILES = 200
BATCH = 4
PORT = 8080
CONFIGURATION = """
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
user root;
daemon off;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  limit_req_zone $uri zone=requests:4m rate=10000r/s;
  server {{
    listen 127.0.0.1:{port};
    root {directory}/files;
    limit_req zone=requests burst=1000 nodelay;
    location / {{ dav_methods PUT; }}
  }}
}}
"""


def body_of(number, generation):
    return (f"{number}:{generation}:" * 200).encode()


class Program:
    def __init__(self, directory):
        os.mkdir(f"{directory}/files")
        path = f"{directory}/nginx.conf"
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(directory=directory, port=PORT))
        subprocess.Popen(["nginx", "-c", path, "-e", f"{directory}/nginx.log"], stdin=subprocess.DEVNULL)
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT)
        for _ in range(600):
            try:
                self.connection.connect()
                break
            except OSError:
                time.sleep(0.1)
        # Only one that lasts proves that connections do.
        self.connection.auto_open = False
        self.random = random.Random(1)
        self.generations = [0] * FILES
        for number in range(FILES):
            self.put(number)

    def ask(self, method, number, body=None):
        self.connection.request(method, f"/{number}", body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def put(self, number):
        self.generations[number] += 1
        status, _ = self.ask("PUT", number, body_of(number, self.generations[number]))
        assert status in (201, 204), f"PUT /{number} was answered by {status}"

    def write(self):
        for number in self.random.sample(range(FILES), BATCH):
            self.put(number)
        return BATCH

    def check(self):
        for number, generation in enumerate(self.generations):
            status, body = self.ask("GET", number)
            assert status == 200 and body == body_of(number, generation), f"GET /{number}: {status}, {body[:40]}"
        return f"files={FILES}"
