/** The OpenAPI 3.1 description of the facade, made from the schemas that both sides use. Loaded when somebody asks for it. */
import { toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import packageJson from "../../package.json" with { type: "json" };
import * as contract from "#protocol/http.ts";

const json = (name: string) => ({ "application/json": { schema: { $ref: `#/components/schemas/${name}` } } });
const octets = (description: string) => ({
  [contract.contentTypes.octets]: { schema: { type: "string", format: "binary", description } },
});
const idList = octets("Ids of 32 bytes, end to end");
const batch = octets(
  "For each prime its id (32 bytes), the length of its stored bytes (32 bits, big endian), and these bytes",
);
const inPath = [{ name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } }];
const withObjectPath = [
  ...inPath,
  {
    name: "path",
    in: "query",
    schema: { type: "string" },
    description:
      "Absolute path of an object in the snapshot, its bytes percent-encoded; everything when it is left out",
  },
];
const archive = (type: string) => ({ [type]: { schema: { type: "string", format: "binary" } } });

const schemas = {
  EnrolRequest: contract.enrolRequest,
  EnrolResponse: contract.enrolResponse,
  CheckInResponse: contract.checkInResponse,
  OpenSessionRequest: contract.openSessionRequest,
  OpenSessionResponse: contract.openSessionResponse,
  PrimesResponse: contract.primesResponse,
  CommitRequest: contract.commitRequest,
  CommitResponse: contract.commitResponse,
  SnapshotsResponse: contract.snapshotsResponse,
  SnapshotResponse: contract.snapshotResponse,
  Problem: contract.problem,
} as const satisfies Record<string, GenericSchema>;

interface Operation {
  readonly summary: string;
  readonly parameters?: readonly object[];
  readonly body?: object;
  readonly answer: object;
  readonly isPublic?: boolean;
}

function operation({ summary, parameters, body, answer, isPublic }: Operation): object {
  return {
    summary,
    ...(parameters ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: body } } : {}),
    ...(isPublic ? { security: [] } : {}),
    responses: {
      200: { description: "Done", content: answer },
      default: {
        description: "What went wrong",
        content: { [contract.contentTypes.problem]: { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

export function describeApi(): object {
  const { paths } = contract;
  const text = { "text/plain": { schema: { type: "string" } } };
  const anyJson = { "application/json": { schema: { type: "object" } } };
  return {
    openapi: "3.1.0",
    info: {
      title: "CoStor site",
      version: packageJson.version,
      description: "The API of a site for its agents. An agent can add, and can delete or overwrite nothing.",
    },
    security: [{ agent: [] }],
    paths: {
      [paths.enrol]: {
        post: operation({
          summary: "Enrol this machine with an enrolment token",
          body: json("EnrolRequest"),
          answer: json("EnrolResponse"),
          isPublic: true,
        }),
      },
      [paths.checkIn]: { get: operation({ summary: "Name and state of the site", answer: json("CheckInResponse") }) },
      [paths.sessions]: {
        post: operation({
          summary: "Open the upload session of a snapshot, or get it again",
          body: json("OpenSessionRequest"),
          answer: json("OpenSessionResponse"),
        }),
      },
      [paths.missing("{id}")]: {
        post: operation({
          summary: "Which primes this agent has yet to send",
          parameters: inPath,
          body: idList,
          answer: octets("One byte an id: 1 for missing, 0 for held"),
        }),
      },
      [paths.primes("{id}")]: {
        post: operation({
          summary: "Send a batch of primes; answered when all are durable",
          parameters: inPath,
          body: batch,
          answer: json("PrimesResponse"),
        }),
      },
      [paths.commit("{id}")]: {
        post: operation({
          summary: "Complete the snapshot; refused unless everything it reaches is durable",
          parameters: inPath,
          body: json("CommitRequest"),
          answer: json("CommitResponse"),
        }),
      },
      [paths.snapshots]: {
        get: operation({ summary: "This agent's snapshots, oldest first", answer: json("SnapshotsResponse") }),
      },
      [paths.snapshot("{id}")]: {
        get: operation({ summary: "One snapshot with its root", parameters: inPath, answer: json("SnapshotResponse") }),
      },
      [paths.tar("{id}")]: {
        get: operation({
          summary: "A subtree of a snapshot as a tar archive (PAX)",
          parameters: withObjectPath,
          answer: archive("application/x-tar"),
        }),
      },
      [paths.zip("{id}")]: {
        get: operation({
          summary: "A subtree of a snapshot as a zip",
          parameters: withObjectPath,
          answer: archive("application/zip"),
        }),
      },
      [paths.file("{id}")]: {
        get: operation({
          summary: "The content of a file, or a range of it",
          parameters: withObjectPath,
          answer: octets("The file's bytes"),
        }),
      },
      [paths.readPrimes]: {
        post: operation({
          summary: "Read primes that this agent has sent, in the order asked for",
          body: idList,
          answer: batch,
        }),
      },
      "/v1/openapi.json": { get: operation({ summary: "This description", answer: anyJson, isPublic: true }) },
      "/health": { get: operation({ summary: "Whether the site answers", answer: anyJson, isPublic: true }) },
      "/ready": { get: operation({ summary: "Whether the site takes backups", answer: anyJson, isPublic: true }) },
      "/metrics": {
        get: operation({ summary: "Figures for Prometheus, for the site's own machine", answer: text, isPublic: true }),
      },
    },
    components: {
      securitySchemes: { agent: { type: "http", scheme: "bearer", description: "The token that enrolment gave" } },
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([name, schema]) => [
          name,
          withoutDialect(toJsonSchema(schema, { errorMode: "ignore" })),
        ]),
      ),
    },
  };
}

/** OpenAPI 3.1 names the dialect once, for the whole document. */
function withoutDialect(schema: object): object {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "$schema"));
}
