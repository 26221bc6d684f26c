"""Asks a server 150,000 things, says so each time, and finds one fault."""
import sys
import urllib.error
import urllib.request

for i in range(1, 150_001):
    if i != 70_000:
        print(f"ok {i}: the page is as it was yesterday")
        continue
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/missing")
    except urllib.error.HTTPError as e:
        print(f"FAIL {i}: GET /missing is {e.code}, want 200")
print("1 of 150000 checks has failed")
sys.exit(1)
