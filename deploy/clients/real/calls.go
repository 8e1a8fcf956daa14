// The calls of README.md with Go's net/http.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"time"
)

var (
	url, token, product = os.Args[1], os.Args[2], os.Args[3]
	client              = &http.Client{Timeout: 60 * time.Second}
)

// call makes a request, checks its status, and returns the ETag and whether the connection was used before.
func call(name string, status int, method, path string, body io.Reader, fields map[string]string) (string, bool) {
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), method, url+path, body)
	check(name, err)
	for field, value := range fields {
		request.Header.Set(field, value)
	}
	answer, err := client.Do(request)
	check(name, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(name, err)
	if answer.StatusCode != status {
		check(name, fmt.Errorf("%d, expected %d: %s", answer.StatusCode, status, text))
	}
	return answer.Header.Get("ETag"), reused
}

func check(name string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func fields() map[string]string {
	return map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json", "Idempotency-Key": rand.Text(),
	}
}

func main() {
	order := fmt.Sprintf(`{"items":[{"product_id":%q,"quantity":1}],"shipping_address":`+
		`{"name":"A","line1":"1","city":"L","postal_code":"1","country":"GB"}}`, product)
	one := "/api/v1/products/" + product
	tag, _ := call("GET", 200, "GET", one, nil, nil)
	if _, reused := call("GET again", 200, "GET", one, nil, nil); !reused {
		check("GET again", fmt.Errorf("the connection was not kept"))
	}
	call("conditional GET", 304, "GET", one, nil, map[string]string{"If-None-Match": tag})
	call("HEAD", 200, "HEAD", one, nil, nil)
	call("POST", 201, "POST", "/api/v1/orders", strings.NewReader(order), fields())
	// A reader of unknown length is sent in chunks.
	call("POST in chunks", 201, "POST", "/api/v1/orders", io.MultiReader(strings.NewReader(order)), fields())
	expecting := fields()
	expecting["Expect"] = "100-continue"
	call("POST after 100 Continue", 201, "POST", "/api/v1/orders", strings.NewReader(order), expecting)
	fmt.Println("Go: all calls are as expected")
}
