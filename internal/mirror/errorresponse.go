package mirror

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// maxErrorBody is how much of a registry's error answer is read, in bytes; maxMessage how much of
// it is shown, and maxErrorText how much of an error of our own making, in which a URL with a
// digest may stand.
const (
	maxErrorBody = 8 << 10
	maxMessage   = 200
	maxErrorText = 400
)

// readErrorResponse takes a failed answer apart and leaves a short body for whoever reads it next.
// Retry-After is taken out of the header: regclient would hold back every request to the host for
// as long as the registry says, an hour perhaps; how long to wait is decided by the host's traffic,
// in retry and in the engine.
func readErrorResponse(req *http.Request, resp *http.Response, now time.Time) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a torn body only costs the explanation
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(nil))
	status := &StatusError{Status: resp.StatusCode}
	status.Code, status.Message = parseErrorBody(body)
	if status.Code == "" && status.Message == "" {
		status.Message = parseErrorPage(resp.Header.Get("Content-Type"), body)
	}
	for _, secret := range secretsOf(req) {
		status.Code = strings.ReplaceAll(status.Code, secret, "***")
		status.Message = strings.ReplaceAll(status.Message, secret, "***")
	}
	status.Code, status.Message = oneLine(status.Code, maxMessage), oneLine(status.Message, maxMessage)
	status.rateLimitExhausted = exhausted(resp.Header)
	status.RetryAfter = requestedWait(resp.Header, resp.StatusCode == http.StatusTooManyRequests ||
		status.rateLimitExhausted, now)
	status.uploadSessionLost = isUpload(req) && resp.StatusCode == http.StatusNotFound
	for _, name := range []string{"Retry-After", "X-Retry-After"} {
		resp.Header.Del(name)
	}
	return status
}

// parseErrorBody reads {"errors":[{"code":"DENIED","message":"...","detail":"..."}]}; the detail
// may be anything and is taken when it is text.
func parseErrorBody(body []byte) (code, message string) {
	var response struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Detail  any    `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &response) != nil || len(response.Errors) == 0 {
		return "", ""
	}
	first := response.Errors[0]
	if detail, ok := first.Detail.(string); ok && detail != "" {
		first.Message += ": " + detail
	}
	return first.Code, first.Message
}

var pageTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// parseErrorPage is what an answer says that is not in the registry's format: a line of text, or
// the title of the page that a proxy or a portal puts in the place of the registry's answer.
func parseErrorPage(contentType string, body []byte) string {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case "text/plain":
		return string(body)
	case "text/html":
		if title := pageTitle.FindSubmatch(body); title != nil {
			return html.UnescapeString(string(title[1]))
		}
	}
	return ""
}

// secretsOf lists what of a request must not be repeated, should a registry echo it in its answer.
func secretsOf(req *http.Request) []string {
	_, credential, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok || credential == "" {
		return nil
	}
	secrets := []string{credential}
	if decoded, err := base64.StdEncoding.DecodeString(credential); err == nil {
		if _, password, ok := strings.Cut(string(decoded), ":"); ok && password != "" {
			secrets = append(secrets, password)
		}
	}
	return secrets
}

// oneLine makes foreign text fit to stand in a condition message: no control characters, not too
// long.
func oneLine(text string, longest int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}
