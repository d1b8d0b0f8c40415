package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Of one put, and the pause after one that failed.
const (
	putTimeLimit = 5 * time.Second
	pause        = 50 * time.Millisecond
)

// writes puts one new key after another until its input ends, and prints each key whose put was acknowledged; the
// value is the key. A put that failed is not tried again: nobody knows whether it was made.
func writes(config clientv3.Config) error {
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for number := 0; ; number++ {
		select {
		case <-ended:
			return nil
		default:
		}
		key := fmt.Sprintf("writes/go/%d", number)
		ctx, cancel := context.WithTimeout(context.Background(), putTimeLimit)
		_, err := client.Put(ctx, key, key)
		cancel()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", key, err)
			time.Sleep(pause)
			continue
		}
		if _, err := fmt.Println(key); err != nil {
			return err
		}
	}
}
