// Command site serves one page on the port that its argument names.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Printf("ready on http://%s\n", l.Addr())
	panic(http.Serve(l, nil))
}
