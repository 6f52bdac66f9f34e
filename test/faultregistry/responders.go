package faultregistry

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Respond gives a status, headers ("Retry-After", "3", "Content-Type", "text/html", ...) and a body
// instead of the registry's answer.
func Respond(status int, body string, headers ...string) Responder {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Error gives a status with a body in the registry's own format.
func Error(status int, code, message string, headers ...string) Responder {
	body := fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message)
	return Respond(status, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// Redirect sends the client elsewhere; relative addresses are fine.
func Redirect(to string) Responder {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// RedirectToItself sends the client round in a circle.
func RedirectToItself() Responder {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	}
}

// CloseConnection closes the connection without an answer.
func CloseConnection() Responder {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// Hang takes the request and never answers, until the client gives up.
func Hang() Responder {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
}

// upstreamResponse is what the registry behind answers.
func upstreamResponse(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	return recorder
}

// writeResponse writes an answer, its header first.
func writeResponse(w http.ResponseWriter, response *httptest.ResponseRecorder, length int, body []byte) {
	for name, values := range response.Header() {
		w.Header()[name] = values
	}
	if length >= 0 {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(response.Code)
	_, _ = w.Write(body)
}

// CloseAfter sends the first bytes of the right answer under its right length, and closes the
// connection.
func CloseAfter(after int) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		body := response.Body.Bytes()
		writeResponse(w, response, len(body), body[:min(after, len(body))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Truncate sends the first bytes of the right answer as if that were all.
func Truncate(after int) Responder {
	return Body(func(body []byte) []byte { return body[:min(after, len(body))] })
}

// Corrupt changes one byte in the middle of the right answer.
func Corrupt() Responder {
	return Body(func(body []byte) []byte {
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		return body
	})
}

// Body changes the body of the right answer, and its length with it.
func Body(edit func(body []byte) []byte) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		body := edit(bytes.Clone(response.Body.Bytes()))
		writeResponse(w, response, len(body), body)
	}
}

// Header sets headers of the right answer, name and value in turn; "" takes one out.
func Header(pairs ...string) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		for i := 0; i+1 < len(pairs); i += 2 {
			response.Header().Set(pairs[i], pairs[i+1])
			if pairs[i+1] == "" {
				response.Header().Del(pairs[i])
			}
		}
		writeResponse(w, response, -1, response.Body.Bytes())
	}
}

// Status changes the status of the right answer and keeps the rest.
func Status(status int) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		response.Code = status
		writeResponse(w, response, -1, response.Body.Bytes())
	}
}

// Location rewrites where an upload goes on.
func Location(edit func(location *url.URL, r *http.Request)) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		if location, err := url.Parse(response.Header().Get("Location")); err == nil && location.Path != "" {
			edit(location, r)
			response.Header().Set("Location", location.String())
		}
		writeResponse(w, response, -1, response.Body.Bytes())
	}
}

// AbsoluteLocation names scheme and host in the place where an upload goes on.
func AbsoluteLocation() Responder {
	return Location(func(location *url.URL, r *http.Request) { location.Scheme, location.Host = "http", r.Host })
}

// LocationWithoutQuery keeps the state of an upload to itself instead of letting the client carry
// it in the query. It must see all requests under /blobs/uploads/.
func LocationWithoutQuery() Responder {
	var mu sync.Mutex
	states := map[string]string{}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		if state := states[r.URL.Path]; state != "" {
			r.URL.RawQuery = state + "&" + r.URL.RawQuery
		}
		mu.Unlock()
		Location(func(location *url.URL, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			states[location.Path] = location.RawQuery
			location.RawQuery = ""
		})(w, r, next)
	}
}

// LoseUpload forgets the first upload that goes on, as a registry does that restarts or has
// replicas that do not share their uploads. Later ones are well. It must see all requests under
// /blobs/uploads/.
func LoseUpload() Responder {
	var mu sync.Mutex
	var lost string
	isLost := func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if lost == "" && r.Method != http.MethodPost {
			lost = r.URL.Path
		}
		return r.URL.Path == lost
	}
	unknown := Error(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isLost(r) {
			unknown(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// TrickleHeaders sends the right answer's header one byte at a time, and never gets to its end
// before the client gives up.
func TrickleHeaders(every time.Duration) Responder {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = conn.Close() }()
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\nX-Padding: "))
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for err == nil {
			<-ticker.C
			_, err = conn.Write([]byte("a"))
		}
	}
}

// TrickleBody sends the right answer one byte at a time.
func TrickleBody(every time.Duration) Responder {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		response := upstreamResponse(r, next)
		body := response.Body.Bytes()
		writeResponse(w, response, len(body), nil)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for i := range body {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-ticker.C:
			}
			if _, err := w.Write(body[i : i+1]); err != nil {
				return
			}
		}
	}
}
