//go:build linux

package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr"
)

const listCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"process_list","arguments":{}}}`

// try makes a request and returns status, headers and body of the response. headers are
// pairs of name and value; Host sets the host of the request.
func try(t *testing.T, method, url string, body io.Reader, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		switch {
		case headers[i] == "Host":
			r.Host = headers[i+1]
		case headers[i+1] == "":
			r.Header.Del(headers[i])
		default:
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := ""
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		all, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(all)
	}
	return response.StatusCode, response.Header, text
}

// TestGuard makes every kind of request that must be refused, by every way in.
func TestGuard(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) {
		h.AllowHosts = []string{"proctor.example"}
		h.AllowOrigins = []string{"https://app.example"}
	})
	strangers := []struct {
		what    string
		status  int
		headers []string
	}{
		{"foreign host", 403, []string{"Host", "evil.example"}},
		{"foreign host with our port", 403, []string{"Host", "evil.example:7337"}},
		{"host that begins like ours", 403, []string{"Host", "127.0.0.1.evil.example"}},
		{"other private address", 403, []string{"Host", "10.0.0.1"}},
		{"foreign origin", 403, []string{"Origin", "https://evil.example"}},
		{"null origin", 403, []string{"Origin", "null"}},
		{"origin that begins like an allowed one", 403, []string{"Origin", "https://app.example.evil.example"}},
		{"allowed origin over http", 403, []string{"Origin", "http://app.example"}},
		{"origin that is a file", 403, []string{"Origin", "file://localhost"}},
		{"page of another site", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"two tokens", 401, []string{"Authorization", "Bearer " + secret}},
		{"two origins", 403, []string{"Origin", "https://app.example", "Origin", "https://evil.example"}},
		{"no token", 401, []string{"Authorization", ""}},
		{"wrong token", 401, []string{"Authorization", "", "Authorization", "Bearer wrong"}},
		{"token as basic", 401, []string{"Authorization", "", "Authorization", "Basic " + secret}},
		{"longer token", 401, []string{"Authorization", "", "Authorization", "Bearer " + secret + "x"}},
		{"token in the query", 401, []string{"Authorization", ""}},
	}
	for _, path := range []string{"/mcp", "/sse", "/message", "/", "/other"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE", "HEAD", "PUT"} {
			for _, s := range strangers {
				url := base + path
				if s.what == "token in the query" {
					url += "?token=" + secret + "&access_token=" + secret
				}
				status, header, _ := try(t, method, url, strings.NewReader(listCall), s.headers...)
				if status != s.status {
					t.Errorf("%s: %s %s: status %d, want %d", s.what, method, path, status, s.status)
				}
				if status == 401 && header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s: %s %s: no WWW-Authenticate", s.what, method, path)
				}
				for name := range header {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Errorf("%s: %s %s grants %s", s.what, method, path, name)
					}
				}
			}
		}
	}
	for _, friend := range [][]string{
		nil, {"Host", "localhost:7337"}, {"Host", "[::1]:80"}, {"Host", "127.1.2.3"}, {"Host", "Proctor.example:1"},
		{"Origin", "https://app.example"}, {"Origin", "http://localhost:3000"}, {"Origin", "http://127.0.0.1"},
		{"Content-Type", "", "Content-Type", "application/json; charset=utf-8"},
		{"Authorization", "", "Authorization", "bearer  " + secret},
	} {
		if status, _, text := try(t, "POST", base+"/mcp", strings.NewReader(listCall), friend...); status != 200 || !strings.Contains(text, "No processes") {
			t.Errorf("%v: status %d, %s", friend, status, text)
		}
		granted := ""
		if slices.Contains(friend, "https://app.example") {
			granted = "https://app.example"
		}
		if status, header, _ := try(t, "GET", base+"/sse", nil, friend...); status != 200 || header.Get("Access-Control-Allow-Origin") != granted {
			t.Errorf("sse, %v: status %d, %v", friend, status, header)
		}
	}
}

func TestPreflightOfAnAllowedOrigin(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) { h.AllowOrigins = []string{"https://app.example"} })
	ask := []string{"Authorization", "", "Access-Control-Request-Method", "POST", "Origin"}
	status, header, _ := try(t, "OPTIONS", base+"/mcp", nil, append(ask, "https://app.example")...)
	if status != 204 || header.Get("Access-Control-Allow-Origin") != "https://app.example" || header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("status %d, %v", status, header)
	}
	for _, origin := range []string{"https://evil.example", "http://localhost:3000", "null"} {
		status, header, _ := try(t, "OPTIONS", base+"/mcp", nil, append(ask, origin)...)
		if status < 400 || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: status %d, %v", origin, status, header)
		}
	}
}

func TestBodies(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, nil)
	large := bytes.Repeat([]byte(" "), MaxBodyBytes+1)
	for _, path := range []string{"/mcp", "/message"} {
		if status, _, _ := try(t, "POST", base+path, bytes.NewReader(large)); status != 413 {
			t.Errorf("%s: a large body: status %d", path, status)
		}
		if status, _, _ := try(t, "POST", base+path, io.MultiReader(bytes.NewReader(large))); status != 413 {
			t.Errorf("%s: a large body of unknown length: status %d", path, status)
		}
		for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"} {
			if status, _, _ := try(t, "POST", base+path, strings.NewReader(listCall), "Content-Type", "", "Content-Type", media); status != 415 {
				t.Errorf("%s: %s: status %d", path, media, status)
			}
		}
	}
	full := append(large[:MaxBodyBytes-len(listCall)], listCall...)
	if status, _, text := try(t, "POST", base+"/mcp", bytes.NewReader(full)); status != 200 {
		t.Errorf("a body of exactly 4 MiB: status %d, %s", status, text)
	}
}

func TestNoAuthLetsEverybodyInButNoWebPage(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) { h.Identify = Anyone })
	if status, _, _ := try(t, "POST", base+"/mcp", strings.NewReader(listCall), "Authorization", ""); status != 200 {
		t.Errorf("status %d", status)
	}
	if status, _, _ := try(t, "POST", base+"/mcp", strings.NewReader(listCall), "Authorization", "", "Origin", "https://evil.example"); status != 403 {
		t.Errorf("foreign origin: status %d", status)
	}
}

func TestTokensHaveScopesOfTheirOwn(t *testing.T) {
	base := newServing(t, t.TempDir(), io.Discard).http(t, func(h *HTTP) {
		h.Identify = with(NewToken("first-token", ""), NewToken("second-token", ""), NewToken("bound-token", "c1"), NewToken("prefix-token", "team/"))
	})
	call := func(token, chat, tool, arguments string) string {
		headers := []string{"Authorization", "", "Authorization", "Bearer " + token}
		if chat != "" {
			headers = append(headers, "Coder-Chat-Id", chat)
		}
		status, _, text := try(t, "POST", base+"/mcp", strings.NewReader(callMessage(1, tool, arguments)), headers...)
		if status != 200 {
			t.Errorf("%s %s: status %d", token, tool, status)
		}
		return text
	}
	call("first-token", "", "process_start", `{"command":"true","label":"of-first"}`)
	call("first-token", "c1", "process_start", `{"command":"true","label":"of-c1"}`)
	for _, c := range []struct{ token, chat, sees string }{
		{"first-token", "", "of-first"}, {"second-token", "", "No processes"},
		{"second-token", "c1", "of-c1"}, {"bound-token", "", "of-c1"}, {"bound-token", "c1", "of-c1"},
		{"bound-token", "c2", "not clear"}, {"prefix-token", "team/a", "No processes"}, {"prefix-token", "c1", "not clear"},
	} {
		text := call(c.token, c.chat, "process_list", `{}`)
		if !strings.Contains(text, c.sees) || strings.Count(text, "of-") != strings.Count(c.sees, "of-")*2 {
			t.Errorf("%s with chat %q sees %s", c.token, c.chat, text)
		}
	}
}

// TestManyChatsOverHTTP has chats work at once with the same request ids.
func TestManyChatsOverHTTP(t *testing.T) {
	s := newServing(t, t.TempDir(), io.Discard)
	base := s.http(t, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		chat := fmt.Sprintf("chat-%d-", i)
		wg.Go(func() {
			for range 3 {
				message := callMessage(1, "process_start", `{"command":"echo $CODER_CHAT_ID","wait_ms":20000}`)
				if _, _, text := try(t, "POST", base+"/mcp", strings.NewReader(message), "Coder-Chat-Id", chat); strings.Count(text, chat) != 2 {
					t.Errorf("%s: %s", chat, text)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if list, _ := s.manager.In(procmgr.Chat(fmt.Sprintf("chat-%d-", i))).List(procmgr.FilterAll, 100); len(list) != 3 {
			t.Errorf("chat %d has %d processes", i, len(list))
		}
	}
}

// Protocol 2026-07-28 prescribes the status of an error by its code.
func TestStatusOfAnError(t *testing.T) {
	url := newServing(t, t.TempDir(), io.Discard).http(t, nil) + "/mcp"
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"}}`
	long := `"proctor://` + strings.Repeat("x", 3000) + `"`
	for request, want := range map[string]struct{ status, code int }{
		`"resources/read","params":{"uri":` + long + `,`:                      {400, -32602},
		`"resources/read","params":{"uri":"proctor://no/such",`:               {400, -32602},
		`"resources/read","params":{"uri":"proctor://processes/none/output",`: {400, -32602},
		`"tools/call","params":{"name":"none",`:                               {400, -32602},
		`"no/panic","params":{`:                                               {404, -32601},
		`"subscriptions/listen","params":{`:                                   {404, -32601},
	} {
		response := post(t, http.DefaultClient, url, `{"jsonrpc":"2.0","id":"a","method":`+request+meta+`}}`)
		var answer struct {
			ID    string
			Error struct {
				Code int
				Data struct{ URI string }
			}
		}
		err := json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		if err != nil || response.StatusCode != want.status || answer.Error.Code != want.code || answer.ID != "a" || len(answer.Error.Data.URI) > 2048 {
			t.Errorf("%.80s: %s, %+v, %v", request, response.Status, answer, err)
		}
	}
}

// Before 2026-07-28 the status 404 means that a session is gone. A notification of any
// protocol is not answered.
func TestStatusBeforeItWasPrescribed(t *testing.T) {
	url := newServing(t, t.TempDir(), io.Discard).http(t, nil) + "/mcp"
	if status, _, text := try(t, "POST", url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}`)); status != 200 || !strings.Contains(text, "-32601") {
		t.Errorf("status %d, %s", status, text)
	}
	for _, method := range []string{"subscriptions/listen", "resources/read"} {
		if status, _, text := try(t, "POST", url, strings.NewReader(`{"jsonrpc":"2.0","method":"`+method+`","params":{}}`)); status != 202 || text != "" {
			t.Errorf("a notification %s: status %d, %s", method, status, text)
		}
	}
}

// Text that an error quotes from its caller is not mistaken for words of a library.
func TestAnErrorQuotesItsCaller(t *testing.T) {
	url := newServing(t, t.TempDir(), io.Discard).http(t, nil) + "/mcp"
	_, _, text := try(t, "POST", url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"proctor://processes","_meta":{"coder.com/chat-id":"other"}}}`), "Coder-Chat-Id", "panic")
	if !strings.Contains(text, "The chat of this call is not clear") || !strings.Contains(text, "-32602") {
		t.Errorf("got %s", text)
	}
}
