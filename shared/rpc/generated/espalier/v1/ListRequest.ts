// Original file: protos/espalier/v1/jobs.proto


export interface ListRequest {
  'pageSize'?: (number);
  'pageToken'?: (string);
  'campaignId'?: (string);
  'states'?: (string)[];
}

export interface ListRequest__Output {
  'pageSize': (number);
  'pageToken': (string);
  'campaignId': (string);
  'states': (string)[];
}
