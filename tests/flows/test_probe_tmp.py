from tests.flows.live import *
import time
def test_probe(live):
    t=time.time()
    r = live.analyze(); print(r.status, r.json)
    r = live.transcribe(); print(r.status, r.json)
    r = live.analyze(job="j"); r= live.analyze(job="j"); print(r.json)
    print(live.get("/relay/ready").json)
    for target in (b"admin/credits", b"/admin/credits", b"//admin/credits", b"/admin%2Fcredits", b"%2Fadmin/credits", b"/%2fadmin/credits", b"http://x/admin/credits",b"http://x//admin/credits", b"http://x/", b"*", b"/./admin/credits", b"/relay/../admin/credits", b"?x", b"relay/health", b"/relay/health/"):
        try:
            r = live.raw(b"GET "+target+b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            print(target, r.status, r.body[:120])
        except Exception as e: print(target, repr(e))
    print(time.time()-t)
    live.assert_balanced()
