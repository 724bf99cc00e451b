export declare function createMlKem768(): Promise<{
    generateKeyPair(): [Uint8Array, Uint8Array];
    deriveKeyPair(seed: Uint8Array): [Uint8Array, Uint8Array];
    encap(pk: Uint8Array, seed?: Uint8Array): [Uint8Array, Uint8Array];
    decap(ct: Uint8Array, sk: Uint8Array): Uint8Array;
}>;
